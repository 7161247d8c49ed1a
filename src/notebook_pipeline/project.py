"""What the engine is told of a project: all that differs from one repository to the next.

A project is a git repository with a ``dvc.yaml``. The table ``[tool.notebook_pipeline]`` of its
pyproject.toml marks it, and names where its :class:`Project` lies below ``src``::

    [tool.notebook_pipeline]
    project = "experiments.project:PROJECT"

A project that has nothing but words and variables to tell writes these there instead, such as
``command`` and ``packages``. Notebooks are not listed: each stage of dvc.yaml that calls
``... run NAME`` is that notebook's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_pipeline.errors import ConfigError

if TYPE_CHECKING:
    import click
    from pydantic import BaseModel

    from notebook_pipeline.reports.missing import Missing

TABLE = "notebook_pipeline"
"""The table of pyproject.toml below ``tool``."""

PLAIN = {
    "name": "text",
    "command": "text",
    "environment": "texts by name",
    "deciding": "a list of texts",
    "harmless": "a list of texts",
    "packages": "a list of texts",
}
"""What the table tells by itself where it names no :class:`Project`."""


@dataclass(frozen=True)
class Champion:
    """Which logged model of a notebook's runs is preferred in MLflow's registry.

    Attributes:
        metric: The one with the least of it.
        same: Parameters that must be equal for two models to be comparable.
    """

    metric: str
    same: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A page of a project, made by a stage of its own from what notebooks have left.

    Attributes:
        file: Its name in ``reports``.
        write: Called with the repository and the results that are missing; returns the page.
    """

    file: str
    write: Callable[[Path, Sequence[Missing]], Path]


def _nothing_to_check(name: str, settings: Any, root: Path) -> None:
    """Accept every notebook: a project without a preflight of its own."""


def _plain_title(name: str, settings: Mapping[str, Any]) -> str:
    return name


@dataclass(frozen=True)
class Project:
    """What the engine is told of a project.

    Attributes:
        name: Of the experiment in MLflow.
        command: What people type to call the engine, as messages name it.
        schema: Returns that of params.yaml, a section for each notebook; without one every
            parameter must have the type that it has in the notebook. It is asked for once the
            environment of stages is entered: what it imports is not imported twice.
        commands: Returns commands of the project's own, beside the engine's.
        sections_from: Where sections of params.yaml come from, in words, for whoever writes one
            that isn't known.
        environment: Variables that every process of a stage is given, above the engine's own.
        deciding: Beginnings of the names of variables that choose what is computed; none stays.
        harmless: Variables that stay although a beginning in ``deciding`` fits them.
        packages: Installed packages whose versions decide what is computed, drawn and stored.
        title: What a run is called in MLflow, given a notebook's name and parameters.
        preflight: Refuses, before a kernel starts, what can't succeed; called with a notebook's
            name, its parameters and the repository.
        champion: Which logged models to prefer; None registers none.
        pages: By stage, in the order to make them.
        compared: By the name of a JSON file, what of it must agree on another class of machine:
            numbers and words by name. Metrics and evidence are known already.
    """

    name: str
    command: str = "python -m notebook_pipeline"
    schema: Callable[[], type[BaseModel]] | None = None
    sections_from: str = ""
    commands: Callable[[], Sequence[click.Command]] = tuple
    environment: Mapping[str, str] = field(default_factory=dict)
    deciding: tuple[str, ...] = ()
    harmless: Collection[str] = ()
    packages: tuple[str, ...] = ()
    title: Callable[[str, Mapping[str, Any]], str] = _plain_title
    preflight: Callable[[str, Any, Path], None] = _nothing_to_check
    champion: Champion | None = None
    pages: Mapping[str, Page] = field(default_factory=dict)
    compared: Mapping[str, Callable[[Any], Mapping[str, Any]]] = field(default_factory=dict)


def is_project(folder: Path) -> bool:
    """Whether a folder is the root of a project."""
    return (folder / "dvc.yaml").is_file() and _table(folder) is not None


@lru_cache
def project_of(root: Path) -> Project:
    """Return what the repository ``root`` tells of itself.

    Raises:
        ConfigError: if ``root`` is no project, the table has a key that isn't known, or what it
            names can't be imported.
    """
    table = _table(root)
    if table is None:
        raise ConfigError(f"{root} is no project: its pyproject.toml has no [tool.{TABLE}]")
    if "project" not in table:
        return _plain_project(root, table)
    source = root / "src"
    if not source.is_dir():
        raise ConfigError(f"{source} is missing: the code that runs must be the repository's own")
    module, _, attribute = str(table["project"]).partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"pyproject.toml names the project {table['project']!r}, which can't be imported: "
            f"{error}; write package.module:NAME of what lies in {source}"
        ) from error
    if not isinstance(found, Project):
        raise ConfigError(f"pyproject.toml names {table['project']!r}, which is no Project")
    return found


def _plain_project(root: Path, table: Mapping[str, Any]) -> Project:
    """Return the project that a table tells of by itself."""
    for key in table:
        if key not in PLAIN:
            raise ConfigError(
                f"pyproject.toml: tool.{TABLE}.{key} is unknown; it may hold {', '.join(PLAIN)}, "
                "or project alone"
            )
        if PLAIN[key] != _kind(table[key]):
            raise ConfigError(
                f"pyproject.toml: tool.{TABLE}.{key} is {table[key]!r}; it must be {PLAIN[key]}"
            )
    return Project(**{"name": root.name, **table})


def _kind(value: Any) -> str:
    """Return of which kind a value is, in the words of ``PLAIN``; empty if of another one."""
    match value:
        case str():
            return "text"
        case list() if all(isinstance(one, str) for one in value):
            return "a list of texts"
        case dict() if all(isinstance(one, str) for one in value.values()):
            return "texts by name"
    return ""


def _table(folder: Path) -> dict[str, Any] | None:
    path = folder / "pyproject.toml"
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        return tomllib.loads(text).get("tool", {}).get(TABLE)
    except tomllib.TOMLDecodeError as error:
        if f"tool.{TABLE}" in text:
            raise ConfigError(f"{path} is not valid TOML: {error}") from None
        return None  # of another project, which has trouble of its own
