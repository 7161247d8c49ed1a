"""Check that params.yaml and a notebook agree, before a kernel starts."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import nbformat

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.cell import notebook_defaults, parse_cell
from notebook_pipeline.parameters.names import near_or_all
from notebook_pipeline.reports.readable import has_tag


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
    if read is None:
        return
    for key in sorted(takes.keys() - read):
        raise ConfigError(
            f"parameter {key!r} is never read in {name}; use settings.{key} in a cell, or remove "
            f"it from params.yaml, its schema and {cell}"
        )


def check_types(notebook: nbformat.NotebookNode, parameters: Mapping[str, Any], name: str) -> None:
    """Refuse parameters of other types than the notebook's own, where no schema tells the types.

    A whole number may stand for a fraction; None fits everywhere.

    Raises:
        ConfigError: naming the parameter and both values.
    """
    for key, own in notebook_defaults(notebook, name).items():
        types = type(parameters[key]), type(own)
        if types[0] != types[1] and types != (int, float) and type(None) not in types:
            raise ConfigError(
                f"parameter {key!r} is {parameters[key]!r} in params.yaml, but {own!r} in the "
                f"parameters cell of {name}: both must be of one type"
            )


def _names_read(notebook: nbformat.NotebookNode, name: str) -> set[str] | None:
    """Return what is read as ``settings.<name>``, or as a name that no cell gives another value.

    It is None where ``settings`` as a whole is handed to a function, which may read any of them:
    not to ``start_results``, which only records them.
    """
    loaded: set[str] = set()
    stored: set[str] = set()
    settings: set[str] = set()
    for cell in notebook.cells:
        if cell.cell_type != "code" or has_tag(cell, "parameters"):
            continue
        for node in ast.walk(parse_cell(cell.source, name)):
            match node:
                case ast.Name(id=read, ctx=ast.Load()):
                    loaded.add(read)
                case ast.Name(id=changed):
                    stored.add(changed)
                case ast.Call(func=ast.Name(id="start_results")):
                    pass
                case ast.Call(args=given, keywords=named) if any(
                    map(_is_settings, [*given, *(keyword.value for keyword in named)])
                ):
                    return None
                case ast.Attribute(value=ast.Name(id="settings"), attr=read, ctx=ast.Load()):
                    settings.add(read)
    return settings | (loaded - stored)


def _is_settings(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "settings"
