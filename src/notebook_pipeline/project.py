"""The configuration of a project: everything that differs from one repository to another.

A project is a git repository with a ``dvc.yaml``. The table ``[tool.notebook_pipeline]`` of its
pyproject.toml marks it, and names its :class:`Project`, in a module below ``src``::

    [tool.notebook_pipeline]
    project = "dice.project:PROJECT"

A project that needs only strings and variables can set these in the table instead, such as
``command`` and ``packages``. Notebooks are not listed: a stage of dvc.yaml that calls ``run NAME``
of the project's command, or of ``python -m notebook_pipeline``, belongs to the notebook NAME.
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
    import pandas as pd
    from pydantic import BaseModel

    from notebook_pipeline.reports.missing import Missing

TABLE = "notebook_pipeline"
"""The table of pyproject.toml below ``tool``."""

PLAIN = {
    "name": "text",
    "command": "text",
    "environment": "a table of strings",
    "deciding": "a list of strings",
    "harmless": "a list of strings",
    "packages": "a list of strings",
}
"""What the table tells by itself where it names no :class:`Project`."""


@dataclass(frozen=True)
class Champion:
    """The rule that chooses the preferred model of a notebook in MLflow's registry.

    Attributes:
        metric: The model with the lowest value of this metric wins.
        same: Parameters that must be equal for two models to be comparable.
    """

    metric: str
    same: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A page of a project, made from the results of notebooks by its own stage.

    Attributes:
        file: Its name in ``reports``.
        write: Called with the repository and the missing results; returns the page.
    """

    file: str
    write: Callable[[Path, Sequence[Missing]], Path]


@dataclass(frozen=True)
class Beside:
    """A page that a stage of its own makes beside the report of a notebook.

    Attributes:
        file: Its name in the folder of the report, which links to it.
        words: The words of the link.
        still: The figure of the report that shows the same, such as ``figures/states.png``: a small
            copy of it, above the first results, leads to the page.
    """

    file: str
    words: str
    still: str


@dataclass(frozen=True)
class Metric:
    """A number that each point of a sweep gives.

    Attributes:
        name: Its name in what the function of the points returns.
        says: What it is, in words.
        unit: Its unit; "1" of a pure number.
        lower_is_better: Whether a smaller value is a better one.
    """

    name: str
    says: str
    unit: str = "1"
    lower_is_better: bool = False


@dataclass(frozen=True)
class Swept:
    """What the points of sweeps over a section of params.yaml compute.

    Attributes:
        function: As ``package.module:name``, of a module that workers import. It is called as
            ``function(parameters, seed, root)``, with the parameters by name and the path of the
            repository as a string, and returns numbers by name.
        chosen_by: By what the best point is chosen: of data on which no result is reported.
        score: What is reported of the points.
        size: What is small in a simple point; None if no point is simpler than another.
        shorthand: Returns the schema of further parameters, which stand for some of the section;
            an object of it says by ``parameters()`` for which. All of them are given, or none.
        unread: Parameters of the section that the function isn't given.
        baselines: Returns results to compare the score with, by their names in words; called with
            the repository and the parameters of a point.
    """

    function: str
    chosen_by: Metric
    score: Metric
    size: Metric | None = None
    shorthand: Callable[[], type[Any]] | None = None
    unread: Collection[str] = ()
    baselines: Callable[[Path, Mapping[str, Any]], Mapping[str, float]] | None = None


def _nothing_to_check(name: str, settings: Any, root: Path) -> None:
    """Accept every notebook: a project without a preflight of its own."""


def _plain_title(name: str, settings: Mapping[str, Any]) -> str:
    return name


@dataclass(frozen=True)
class Project:
    """The configuration of a project.

    Attributes:
        name: Name of the experiment in MLflow.
        command: The command that users type; messages show it.
        schema: Returns the schema of params.yaml, with a section for each notebook. Without one,
            every parameter must keep the type that it has in the notebook. It is called after the
            environment of stages is entered, so that nothing is imported twice.
        commands: Returns the project's own commands, in addition to the engine's.
        sections_from: Says where the sections of params.yaml come from; messages about unknown
            sections show it.
        environment: Variables for every process of a stage, in addition to the engine's own.
        deciding: Prefixes of variables that can change a result; stages do not see these.
        harmless: Variables that stages see although they match a prefix in ``deciding``.
        packages: Installed packages whose versions can change a result, a figure or a file.
        memory: Bytes that the largest stage needs: as many stages run at a time as fit.
        title: Returns the title of a run in MLflow from a notebook's name and parameters.
        preflight: Refuses a run that cannot succeed before a kernel starts; called with the name
            of the notebook, its parameters and the repository.
        champion: Which logged models to prefer; None registers none.
        pages: The pages by stage, in the order in which they are made.
        beside: The pages beside the report of a notebook, by the notebook's name.
        swept: What sweeps can be over: by section of params.yaml, what a point computes.
        compared: By the name of a JSON file, the numbers and words in it, by name, that must agree
            on another class of machine. Metrics and evidence are always compared.
        distances: By the name of an output, what measures how far those of two reports are apart:
            called with the folders of both, which hold that output, and ``report.ipynb`` if that
            differs. It returns a table with the sentence ``says`` in ``attrs``, or raises
            ValueError with the reason why there is none. ``compare`` shows either.
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
    memory: int = 2**30
    title: Callable[[str, Mapping[str, Any]], str] = _plain_title
    preflight: Callable[[str, Any, Path], None] = _nothing_to_check
    champion: Champion | None = None
    pages: Mapping[str, Page] = field(default_factory=dict)
    beside: Mapping[str, Sequence[Beside]] = field(default_factory=dict)
    swept: Mapping[str, Swept] = field(default_factory=dict)
    compared: Mapping[str, Callable[[Any], Mapping[str, Any]]] = field(default_factory=dict)
    distances: Mapping[str, Callable[[Path, Path], pd.DataFrame]] = field(default_factory=dict)


def is_project(folder: Path) -> bool:
    """Return whether a folder is the root of a project."""
    return (folder / "dvc.yaml").is_file() and _table(folder) is not None


@lru_cache
def project_of(root: Path) -> Project:
    """Return the configuration of the repository ``root``.

    Raises:
        ConfigError: if ``root`` is not a project, or its table has an unknown key, another key
            beside ``project``, or a name that cannot be imported.
    """
    table = _table(root)
    if table is None:
        raise ConfigError(f"{root} is not a project: its pyproject.toml has no [tool.{TABLE}]")
    if "project" not in table:
        return _plain_project(root, table)
    for key in table.keys() - {"project"}:
        raise ConfigError(
            f"pyproject.toml: tool.{TABLE}.{key} is set beside project; set it in the Project "
            f"{table['project']!r}"
        )
    source = root / "src"
    if not source.is_dir():
        raise ConfigError(f"{source} is missing: the code that runs must be the repository's own")
    module, _, attribute = str(table["project"]).partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"pyproject.toml names the project {table['project']!r}, which can't be imported: "
            f"{error}; write package.module:NAME of an object in {source}"
        ) from error
    if not isinstance(found, Project):
        raise ConfigError(f"pyproject.toml names {table['project']!r}, which is not a Project")
    return found


def _plain_project(root: Path, table: Mapping[str, Any]) -> Project:
    """Return the project that a table tells of by itself."""
    for key in table:
        if key not in PLAIN:
            raise ConfigError(
                f"pyproject.toml: tool.{TABLE}.{key} is unknown; allowed are {', '.join(PLAIN)}, "
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
            return "a list of strings"
        case dict() if all(isinstance(one, str) for one in value.values()):
            return "a table of strings"
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
