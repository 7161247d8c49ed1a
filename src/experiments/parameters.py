"""The schema of params.yaml, of what data sets and experiments tell of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, create_model, model_validator

from experiments.data import table
from experiments.data.catalogue import DatasetName, any_data_set, unknown_data_sets
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.strict import Strict
from notebook_pipeline.parameters.sweeps import Sweeps


def _settings_modules() -> Iterator[ModuleType]:
    """Yield ``settings`` of each experiment's folder."""
    for path in sorted(Path(__file__).parent.glob("*/settings.py")):
        yield import_module(f"{__package__}.{path.parent.name}.settings")


SETTINGS = tuple(_settings_modules())


class _Parameters(Strict):
    @model_validator(mode="after")
    def _sections_fit(self) -> _Parameters:
        limits = [module.broken_limits for module in SETTINGS if hasattr(module, "broken_limits")]
        checks = (unknown_data_sets, table.broken_limits, *limits)
        if problems := [problem for check in checks for problem in check(self)]:
            raise ValueError("\n  ".join(problems))
        return self


def _sections() -> dict[str, type[BaseModel]]:
    """Return the schema of each notebook's parameters.

    Raises:
        ConfigError: if two experiments have a section of one name, which is the other's.
    """
    found: dict[str, type[BaseModel]] = {}
    homes = {"datasets": "of the data sets", "sweeps": "of the sweeps"}
    for module in SETTINGS:
        for name, schema in getattr(module, "SECTIONS", {}).items():
            if name in homes:
                raise ConfigError(
                    f"{module.__name__}: SECTIONS has {name!r}, which is {homes[name]}; "
                    "take another name"
                )
            found[name] = schema
            homes[name] = f"in {module.__name__}"
    return found


SECTIONS = _sections()

Parameters = create_model(
    "Parameters",
    __base__=_Parameters,
    datasets=(dict[DatasetName, any_data_set()], ...),  # type: ignore[misc]
    sweeps=(Sweeps, {}),
    **{name: (schema, ...) for name, schema in SECTIONS.items()},  # type: ignore[call-overload]
)
"""All of params.yaml."""
