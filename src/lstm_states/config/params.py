"""params.yaml: reading it, checking it, and saying in words what is wrong with it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError, model_validator

from lstm_states.config.datasets import Dataset, JapaneseVowels, OrderBook, Table
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


class ConfigError(ValueError):
    """A parameter is unknown, missing or out of range; names the key, the value and what fits."""


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
    def _datasets_exist(self) -> Params:
        for name in CONFIGURATIONS:
            dataset = getattr(self, name).dataset
            if dataset not in self.datasets:
                raise ValueError(f"{name}.dataset is {dataset!r}; there are {list(self.datasets)}")
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
        ConfigError: naming every key that is unknown, missing or out of range.
    """
    path = path or project_root() / "params.yaml"
    return _validated(Params, yaml.safe_load(path.read_text()), path.name)


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


def _validated(schema: type[BaseModel], values: Any, where: str) -> Any:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problems = [_explained(schema, problem) for problem in error.errors()]
        raise ConfigError(f"{where}: " + "\n  ".join(problems)) from None


def _explained(schema: type[BaseModel], problem: Any) -> str:
    # The tag of a union member is no key of the file.
    makers = {"order_book", "japanese_vowels", "table"}
    location = [str(part) for part in problem["loc"]]
    if location[:1] == ["datasets"] and len(location) > 2 and location[2] in makers:
        del location[2]
    key = ".".join(location) or "parameters"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _known_names(schema), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{key} is not a parameter{hint}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{key}: {message}" if location else message
    return f"{key} is {problem['input']!r}: {problem['msg']}"


def _known_names(schema: type[BaseModel]) -> list[str]:
    models: list[type[BaseModel]] = [schema, OrderBook, JapaneseVowels, Table, *SCHEMAS.values()]
    return sorted({name for model in models for name in model.model_fields})
