"""Reads what stages have made."""

from __future__ import annotations

from pathlib import Path

import nbformat

from lstm_states.config import stage_of
from lstm_states.errors import DataError


def find_output(name: str, file: str, root: Path) -> Path:
    """Return a file that the stage of a configuration or trial has made.

    Raises:
        DataError: if it isn't there.
    """
    path = root / "reports" / name / file
    if not path.is_file():
        raise DataError(f"{path} is missing; `dvc repro {stage_of(name)}` makes it")
    return path


def read_report(name: str, root: Path) -> nbformat.NotebookNode:
    """Read the executed notebook of a configuration or trial; DataError if it isn't there."""
    return nbformat.read(find_output(name, "report.ipynb", root), as_version=4)
