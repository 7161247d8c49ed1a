"""A failed notebook folded so that the cell that failed is what one sees first."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

HERE = "# The cell that failed"


def fold_passed_cells(path: Path) -> None:
    """Fold away, under the notebook's title, the cells above the one that failed; in place.

    JupyterLab takes a cell that an address names for one of the notebook that it shows at that
    moment: while it starts, that may be another one, of the last time.
    """
    notebook = nbformat.read(path, as_version=4)
    failed = [
        number
        for number, cell in enumerate(notebook.cells)
        if any(output.output_type == "error" for output in cell.get("outputs", ()))
    ]
    title = next((cell for cell in notebook.cells if cell.source.startswith("# ")), None)
    if failed and title and HERE not in (cell.source for cell in notebook.cells):
        title.metadata["jp-MarkdownHeadingCollapsed"] = True
        notebook.cells.insert(failed[0], new_markdown_cell(HERE, id="failed"))
        nbformat.write(notebook, path)
