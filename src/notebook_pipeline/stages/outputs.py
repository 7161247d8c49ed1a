"""Read the outputs of stages, and replace pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from notebook_pipeline.errors import OutputsError
from notebook_pipeline.stages.states import notebook_stages, sweep_stages

if TYPE_CHECKING:
    from nbformat import NotebookNode


def find_output(name: str, file: str, root: Path) -> Path:
    """Return a file that the stage of a notebook or a sweep has made.

    Raises:
        OutputsError: if it isn't there.
    """
    path = root / "reports" / name / file
    if not path.is_file():
        stage = {**notebook_stages(root), **sweep_stages(root)}[name]
        raise OutputsError(f"{path} is missing; `dvc repro {stage}` makes it")
    return path


def read_report(name: str, root: Path) -> NotebookNode:
    """Read the report of a notebook, executed; OutputsError if it isn't there."""
    import nbformat  # here: a `repro` that finds nothing to do reads no notebook

    return nbformat.read(find_output(name, "report.ipynb", root), as_version=4)


def replace_text(path: Path, text: str) -> None:
    """Write a file in place of what is there, whole or not at all.

    What is there may be DVC's link into its cache: written to, it would change the cache.
    """
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
