"""A temporary clone of the repository, uncommitted changes included, to run the pipeline in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lstm_states.config import ConfigError

OWN = ("DVC_", "GIT_", "MLFLOW_")
"""Beginnings of variables that would lead a command in the clone back to another repository."""


@contextmanager
def temporary_clone(root: Path) -> Iterator[Path]:
    """Clone ``root`` as it is now, without outputs, cache and runs; the clone goes in the end.

    Raises:
        ConfigError: if ``root`` is no git repository, or has no commit.
    """
    with tempfile.TemporaryDirectory(prefix="lstm-states-") as folder:
        clone = Path(folder) / "clone"
        _git("clone", "--quiet", "--no-checkout", str(root), str(clone))
        _git("-C", str(clone), "reset", "--quiet")
        known = ("ls-files", "--cached", "--others", "--exclude-standard", "-z")
        for name in filter(None, _git("-C", str(root), *known).split("\0")):
            if (root / name).is_file():
                (clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, clone / name, follow_symlinks=False)
        yield clone


def environment_of(clone: Path) -> dict[str, str]:
    """Return an environment in which the clone's own code runs and keeps its runs to itself."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(OWN)}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(clone / "src"),
        "DVC_NO_ANALYTICS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"git {' '.join(arguments)}: {error.stderr.strip()}") from None
    return done.stdout
