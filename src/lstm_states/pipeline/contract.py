"""What a notebook takes, against what params.yaml gives it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import nbformat

from lstm_states.config import ConfigError
from lstm_states.pipeline.article import has_tag


def notebook_defaults(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Return names and values of the cell tagged ``parameters``, which holds literals only."""
    cell = next(cell for cell in notebook.cells if has_tag(cell, "parameters"))
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def check_parameters(
    notebook: nbformat.NotebookNode, parameters: Mapping[str, Any], name: str
) -> None:
    """Refuse parameters that the notebook doesn't take; papermill itself would only warn."""
    takes = set(notebook_defaults(notebook))
    for key in sorted(takes ^ set(parameters)):
        where = "params.yaml, but not in" if key in parameters else "not in params.yaml, but in"
        raise ConfigError(f"parameter {key!r} is in {where} the parameters cell of {name}")
