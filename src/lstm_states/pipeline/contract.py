"""What params.yaml and a notebook owe each other, found out before a kernel starts."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from lstm_states.config import ConfigError, near_or_all
from lstm_states.pipeline.article import has_tag


def check_parameters(
    notebook: nbformat.NotebookNode, parameters: Mapping[str, Any], name: str
) -> None:
    """Refuse parameters that a notebook doesn't take or never reads.

    papermill itself only warns of an unknown name.

    Args:
        notebook: Its cell tagged ``parameters`` says what it takes.
        parameters: Names and values from params.yaml.
        name: Of the notebook, for messages.

    Raises:
        ConfigError: naming the parameter, and what is right.
    """
    takes = notebook_defaults(notebook, name)
    cell = f"the parameters cell of {name}"
    for key in sorted(parameters.keys() - takes):
        hint = near_or_all(key, takes)
        raise ConfigError(f"parameter {key!r} is in params.yaml, but not in {cell}; {hint}")
    for key in sorted(takes.keys() - parameters):
        hint = near_or_all(key, parameters)
        raise ConfigError(f"parameter {key!r} is not in params.yaml, but in {cell}; {hint}")
    read = _names_read(notebook, name)
    for key in sorted(takes.keys() - read):
        raise ConfigError(
            f"parameter {key!r} is never read in {name}; use settings.{key} in a cell, or take it "
            f"out of params.yaml, the schema in lstm_states.config and {cell}"
        )


def notebook_defaults(notebook: nbformat.NotebookNode, name: str) -> dict[str, Any]:
    """Return names and values of the cell tagged ``parameters``, which holds literals only.

    Raises:
        ConfigError: if there is no such cell, or if it holds something else.
    """
    cells = [cell for cell in notebook.cells if has_tag(cell, "parameters")]
    if len(cells) != 1:
        raise ConfigError(f"{name} has {len(cells)} cells tagged 'parameters'; it needs 1")
    defaults = {}
    for node in _parsed(cells[0].source, name).body:
        try:
            [target] = node.targets  # type: ignore[attr-defined]
            defaults[target.id] = ast.literal_eval(node.value)  # type: ignore[attr-defined]
        except (AttributeError, ValueError):
            line = ast.unparse(node)
            raise ConfigError(
                f"{name}, parameters cell: {line!r} is not of the form name = literal"
            ) from None
    return defaults


def _names_read(notebook: nbformat.NotebookNode, name: str) -> set[str]:
    """Return what is read as ``settings.<name>``, or as a name that no cell gives another value."""
    loaded: set[str] = set()
    stored: set[str] = set()
    settings: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type != "code" or has_tag(cell, "parameters"):
            continue
        for node in ast.walk(_parsed(cell.source, name)):
            match node:
                case ast.Name(id=read, ctx=ast.Load()):
                    loaded.add(read)
                case ast.Name(id=changed):
                    stored.add(changed)
                case ast.Attribute(value=ast.Name(id="settings"), attr=read, ctx=ast.Load()):
                    settings.add(read)
    return settings | (loaded - stored)


def _parsed(source: str, name: str) -> ast.Module:
    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise ConfigError(f"{name}: {error.msg} in the cell with the line {line!r}") from None
