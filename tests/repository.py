"""Where this repository is and what git holds of it, for tests that need nothing heavier."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, as somebody whose name it knows."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def committed(path: str) -> str:
    """A file as the last commit holds it, whatever has been made of it here since."""
    shown = subprocess.run(
        ["git", "show", f"HEAD:{path}"], cwd=ROOT, check=True, capture_output=True
    )
    return shown.stdout.decode()


def python_blocks(page: str) -> list[str]:
    """The examples in Python of a page of the docs, in their order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def as_committed(*paths: str) -> bool:
    """Whether files, or all below folders, are here as the last commit holds them."""
    command = ["git", "diff", "--quiet", "HEAD", "--", *paths]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
