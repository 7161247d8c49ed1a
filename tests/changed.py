"""The tests beside the sources that differ from the last commit: `python -m tests.changed`.

Where nothing differs, those of the last commit itself. `make check` runs what it prints.
"""

import subprocess
import sys
from pathlib import PurePath

from tests.repository import ROOT


def git(*arguments):
    shown = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    )
    return [line for line in shown.stdout.splitlines() if line]


def changed():
    """Paths of the files that differ from the last commit, new ones included."""
    differ = git("diff", "--name-only", "HEAD")
    new = git("ls-files", "--others", "--exclude-standard")
    # Of the first commit nothing is before it.
    return differ + new or git("show", "--name-only", "--format=", "HEAD")


def tests_of(path):
    """The test files of a source: those called like it or its room in its package, or itself."""
    path = PurePath(path)
    if path.suffix != ".py":
        return []
    if path.parts[0] == "tests" and path.name.startswith("test_"):
        return [str(path)] if (ROOT / path).is_file() else []
    if path.parts[0] != "src":
        return []
    _, package, *rooms = path.parts[:-1]
    mirrored = PurePath("tests", package, *rooms, f"test_{path.name}")
    if (ROOT / mirrored).is_file():
        return [str(mirrored)]
    for name in (path.stem, *reversed(rooms)):
        if found := sorted((ROOT / "tests" / package).rglob(f"test_{name}.py")):
            return [str(one.relative_to(ROOT)) for one in found]
    print(f"no test is called like {path}: make test runs those that use it", file=sys.stderr)
    return []


if __name__ == "__main__":
    print(*sorted({test for path in changed() for test in tests_of(path)}))
