"""A notebook's parameters cell: names, literals, comments; which of them a run has changed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from notebook_pipeline.errors import ConfigError


def notebook_defaults(notebook: nbformat.NotebookNode, name: str) -> dict[str, Any]:
    """Return names and values of the cell tagged ``parameters``, which holds literals only.

    Raises:
        ConfigError: if there is no such cell, or if it holds something else.
    """
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ConfigError(f"{name} has {len(cells)} cells tagged 'parameters'; it needs 1")
    return {one.name: one.value for one in read_assignments(cells[0].source, name)}


@dataclass(frozen=True)
class Assignment:
    """A line of a parameters cell.

    Attributes:
        name: The variable's.
        value: What it is given, a literal.
        written: The value as Python source.
        comment: What stands behind it, empty where nothing does.
    """

    name: str
    value: Any
    written: str
    comment: str


def read_assignments(source: str, name: str) -> Iterator[Assignment]:
    """Yield the lines of a parameters cell of the notebook ``name``.

    papermill has a parser of these cells, too. It goes line by line, and passes over what it
    doesn't understand, where a run would then go on with a value that nobody sees.

    Raises:
        ConfigError: naming the line that is not of the form ``name = literal``.
    """
    lines = source.splitlines()
    for node in parse_cell(source, name).body:
        try:
            [target] = node.targets  # type: ignore[attr-defined]
            variable, value = target.id, node.value  # type: ignore[attr-defined]
            behind = lines[value.end_lineno - 1].encode()[value.end_col_offset :].decode()
            comment = behind.partition("#")[2].strip()
            yield Assignment(variable, ast.literal_eval(value), ast.unparse(value), comment)
        except (AttributeError, ValueError):
            line = ast.unparse(node)
            raise ConfigError(
                f"{name}, parameters cell: {line!r} is not of the form name = literal"
            ) from None


def changed_parameters(path: Path, values: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return by name the value and the notebook's own, of those parameters where they differ.

    Args:
        path: The notebook.
        values: What it is run with.
    """
    defaults = notebook_defaults(nbformat.read(path, as_version=4), path.name)
    return {
        name: (value, defaults[name])
        for name, value in values.items()
        if name in defaults and value != defaults[name]
    }


def parse_cell(source: str, name: str) -> ast.Module:
    """Parse the code of a cell of the notebook ``name``, magics included.

    Raises:
        ConfigError: naming the line that is no Python.
    """
    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise ConfigError(f"{name}: {error.msg} in the cell with the line {line!r}") from None
