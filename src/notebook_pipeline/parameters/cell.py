"""The parameters cell of a notebook: names, literals, comments, and values that a run changes."""

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
    """Return names and values of the cell tagged ``parameters``, which may hold only literals.

    Raises:
        ConfigError: if there is no such cell, or if it holds anything else.
    """
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ConfigError(f"{name} has {len(cells)} cells tagged 'parameters'; it needs 1")
    return {one.name: one.value for one in read_assignments(cells[0].source, name)}


@dataclass(frozen=True)
class Assignment:
    """A line of a parameters cell.

    Attributes:
        name: Name of the variable.
        value: Its value, a literal.
        written: The value as Python source.
        comment: The comment at the end of the line, or empty.
    """

    name: str
    value: Any
    written: str
    comment: str


def read_assignments(source: str, name: str) -> Iterator[Assignment]:
    """Yield the lines of a parameters cell of the notebook ``name``.

    papermill has a parser of these cells, too, but it skips lines that it does not understand; a
    run would then continue with a value that nobody sees.

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
    """Return, by name, the value and the notebook's own value of each parameter that differs.

    Args:
        path: The notebook.
        values: The parameters of the run.
    """
    defaults = notebook_defaults(nbformat.read(path, as_version=4), path.name)
    return {
        name: (value, defaults[name])
        for name, value in values.items()
        if name in defaults and value != defaults[name]
    }


def parse_cell(source: str, name: str) -> ast.Module:
    """Parse the code of a cell of the notebook ``name``, including magics.

    Raises:
        ConfigError: naming the line that is not valid Python.
    """
    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise ConfigError(f"{name}: {error.msg} in the cell with the line {line!r}") from None
