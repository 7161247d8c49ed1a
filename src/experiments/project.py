"""What the notebook pipeline is told of this repository."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from pydantic import BaseModel, create_model, model_validator

from experiments.data import table
from experiments.data.catalogue import DatasetName, any_data_set, unknown_data_sets
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.strict import Strict
from notebook_pipeline.project import Champion, Page, Project
from notebook_pipeline.reports.missing import Missing


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
    homes = {"datasets": "of the data sets"}
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
    **{name: (schema, ...) for name, schema in SECTIONS.items()},  # type: ignore[call-overload]
)
"""All of params.yaml."""


def _commands() -> Sequence[click.Command]:
    from experiments.cli import COMMANDS

    return COMMANDS


def _title(name: str, settings: Mapping[str, Any]) -> str:
    units = settings.get("units")
    widths = "-".join(map(str, units)) if isinstance(units, list) else ""
    return " ".join(filter(None, (name, settings.get("dataset"), widths)))


def _check_data(name: str, settings: Any, root: Path) -> None:
    from experiments.forecasting.settings import Experiment

    if isinstance(settings, Experiment):
        from experiments.forecasting.preflight import check_data

        check_data(name, settings, root)


def _write_claims(root: Path, missing: Sequence[Missing]) -> Path:
    from experiments.claims.page import write_claims

    return write_claims(root, missing)


def _write_index(root: Path, missing: Sequence[Missing]) -> Path:
    from experiments.index.index import write_index

    return write_index(root, missing)


def _verdicts(rows: Any) -> dict[str, str]:
    """Return each claim's verdict with the outcome of each side; an undecided one's are noise."""
    return {
        f"claim {row['id']}": row["verdict"]
        if row["verdict"] == "undecided"
        else f"{row['verdict']} {list(row['sides'].values())}"
        for row in rows
    }


PROJECT = Project(
    name="lstm-states",
    command="lstm-states",
    schema=Parameters,
    sections_from=(
        "each is the SECTIONS of an experiment's settings.py in src/experiments, which "
        "`lstm-states new NAME` writes"
    ),
    commands=_commands,
    environment={
        "KERAS_BACKEND": "tensorflow",
        "KERAS_HOME": os.devnull,  # Keras then finds no keras.json, and writes none
        "TF_CPP_MIN_LOG_LEVEL": "3",
    },
    deciding=("KERAS_", "TF2_", "TF_", "XLA_"),
    harmless=("TF_FORCE_GPU_ALLOW_GROWTH",),
    packages=(
        "h5py", "keras", "matplotlib", "numcodecs", "numpy", "pandas", "pillow", "scikit-learn",
        "scipy", "tensorflow", "xarray", "zarr",
    ),
    title=_title,
    preflight=_check_data,
    champion=Champion("validation.kept_loss", same=("dataset", "target", "loss")),
    # The index last: it leads to the claims, if they have a page.
    pages={
        "claims": Page("claims.html", _write_claims),
        "index": Page("index.html", _write_index),
    },
    compared={"claims.json": _verdicts},
)  # fmt: skip
