"""Open a failed notebook at the failed cell: a heading above it, and all before that folded."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.stages.outputs import FAILED

HERE = "# The cell that failed"


def debug_command(name: str, root: Path) -> list[str]:
    """Return the command that opens the notebook of a failed attempt at its failing cell.

    The cells above that one are folded away, under the notebook's title: JupyterLab takes a cell
    that an address names for one of the notebook that it shows at that moment, and while it
    starts, that may be another one, of the last time.

    Raises:
        ConfigError: if there is no attempt, as after one that has not failed.
    """
    folder = root / FAILED / name
    path = next(folder.glob("*.ipynb"), None)
    if path is None:
        raise ConfigError(f"no failed run of {name}: {folder} has no notebook")
    page = f"/lab/tree/{path.relative_to(root).as_posix()}"
    notebook = nbformat.read(path, as_version=4)
    failed = next((cell for cell in notebook.cells if _has_failed(cell)), None)
    if failed:
        page += f"#cell-id={_heading_of(failed, notebook, path).id}"
    return [
        "jupyter", "lab", "--ip=127.0.0.1", f"--notebook-dir={root}",
        f"--LabApp.default_url={page}",
        # Without it the address that is printed has the token behind the cell, where none is read.
        f"--ServerApp.custom_display_url={page}",
    ]  # fmt: skip


def _has_failed(cell: nbformat.NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", ()))


def _heading_of(
    failed: nbformat.NotebookNode, notebook: nbformat.NotebookNode, path: Path
) -> nbformat.NotebookNode:
    """Return a heading written above the cell, all before it folded; the cell if none can fold."""
    title = next((cell for cell in notebook.cells if cell.source.startswith("# ")), None)
    if title is None:
        return failed
    if heading := next((cell for cell in notebook.cells if cell.source == HERE), None):
        return heading
    title.metadata["jp-MarkdownHeadingCollapsed"] = True
    heading = new_markdown_cell(HERE, id="failed")
    notebook.cells.insert(notebook.cells.index(failed), heading)
    nbformat.write(notebook, path)
    return heading
