"""params.yaml: reading it, checking it, and saying in words what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from lstm_states.config.datasets import Dataset, JapaneseVowels, OrderBook, Table
from lstm_states.config.names import near_or_all
from lstm_states.config.notebooks import (
    CONFIGURATIONS,
    SCHEMAS,
    CarryingState,
    Centered,
    Cost,
    Depth,
    Masked,
    Masking,
    Memory,
    Trial,
    Windowed,
)
from lstm_states.config.strict import Strict
from lstm_states.errors import ConfigError

MAKERS: dict[str, type[BaseModel]] = {
    "order_book": OrderBook,
    "japanese_vowels": JapaneseVowels,
    "table": Table,
}


class Params(Strict):
    """All of params.yaml."""

    datasets: dict[str, Dataset]
    stacked: Centered
    intermediate_outputs: Windowed
    variable_length: Masked
    how_states_flow: Trial
    memory: Memory
    depth: Depth
    carrying_state: CarryingState
    masking: Masking
    cost: Cost

    @model_validator(mode="after")
    def _sections_fit(self) -> Params:
        problems = []
        for name in CONFIGURATIONS:
            dataset = getattr(self, name).dataset
            if dataset not in self.datasets:
                hint = near_or_all(dataset, self.datasets)
                problems.append(f"{name}.dataset is {dataset!r}; {hint}")
        steps, window = self.carrying_state.steps, self.stacked.window
        if steps > window:
            problems.append(
                f"carrying_state.steps is {steps}; it may be stacked.window at most, which is "
                f"{window}"
            )
        if problems:
            raise ValueError("\n  ".join(problems))
        return self


def project_root() -> Path:
    """Return the repository: the nearest folder from here up with a dvc.yaml, else our checkout.

    Raises:
        ConfigError: if there is none.
    """
    here = Path.cwd()
    checkout = Path(__file__).parents[3]
    for folder in (here, *here.parents, checkout):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise ConfigError(f"no dvc.yaml in {here} or above it; change to a clone of the repository")


def load_params(path: Path | None = None) -> Params:
    """Read and check params.yaml (the project's own by default).

    Raises:
        ConfigError: naming every key that is unknown, missing or out of range, or what keeps the
            file from being read.
    """
    path = path or project_root() / "params.yaml"
    return _validated(Params, _read(path), path.name)


def read_parameters(configuration: str, namespace: Mapping[str, Any]) -> Any:
    """Check the parameters a notebook holds and return them as one frozen object.

    Args:
        configuration: One of :data:`CONFIGURATIONS` or :data:`TRIALS`.
        namespace: The notebook's ``globals()``; names that are no parameter are left alone.

    Raises:
        ConfigError: naming every parameter that is missing or out of range.
    """
    schema = SCHEMAS[configuration]
    values = {name: namespace[name] for name in schema.model_fields if name in namespace}
    return _validated(schema, values, f"notebook {configuration}")


def _read(path: Path) -> Any:
    """Read a file as DVC does: by YAML 1.2, in which 1e-05 is a number, and no key stands twice."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        why = f"can't be read: {error.strerror}"
    except UnicodeDecodeError as error:
        why = f"is not UTF-8: {error.reason} at byte {error.start}"
    except MarkedYAMLError as error:
        mark = error.problem_mark
        why = (
            f"is not valid YAML: {error.problem} in line {mark.line + 1}, column {mark.column + 1}"
        )
    except YAMLError as error:
        why = f"is not valid YAML: {error}"
    raise ConfigError(f"{path.name} {why}")


def _validated(schema: type[BaseModel], values: Any, where: str) -> Any:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problems = [_explained(schema, problem) for problem in error.errors()]
        raise ConfigError(f"{where}: " + "\n  ".join(problems)) from None


def _explained(schema: type[BaseModel], problem: Any) -> str:
    location = [str(part) for part in problem["loc"]]
    part = SCHEMAS.get(location[0], schema) if location[1:] else schema
    if location[:1] == ["datasets"] and len(location) > 2 and location[2] in MAKERS:
        part = MAKERS[location.pop(2)]  # the tag of a union member is no key of the file
    key = ".".join(location) or "parameters"
    if problem["type"] == "extra_forbidden":
        hint = near_or_all(location[-1], part.model_fields)
        return f"{key} is not a parameter; {hint}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{key}: {message}" if location else message
    return f"{key} is {problem['input']!r}: {problem['msg']}"
