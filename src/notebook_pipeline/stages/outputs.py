"""What the stages of notebooks leave, how it is read, and how a page is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from notebook_pipeline.errors import OutputsError
from notebook_pipeline.stages.states import notebook_stages, sweep_stages

if TYPE_CHECKING:
    from nbformat import NotebookNode

REPORT = "report.ipynb"
"""The notebook as it ran."""

METRICS = "metrics.json"
"""Numbers of a notebook, for ``dvc metrics``."""

EVIDENCE = "evidence.json"
"""What a notebook measured, by measure and model."""

STEPS = "plots/steps.csv"
"""What a notebook logged step by step: a row with name, step and value for each number."""

RECORD = "run.json"
"""The record of the run that made a report; differs from run to run and is no output of DVC."""

FAILED = "reports/failed"
"""Where attempts lie that have failed, or are under way, in a folder of the notebook or sweep."""


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

    return nbformat.read(find_output(name, REPORT, root), as_version=4)


def replace_text(path: Path, text: str) -> None:
    """Write a file in place of what is there, whole or not at all.

    What is there may be DVC's link into its cache: written to, it would change the cache.
    """
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
