"""The engine's configuration for this repository."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from experiments.forecasting.settings import SECTIONS
from experiments.swept.scores import SWEPT
from notebook_pipeline.project import Beside, Champion, Page, Project
from notebook_pipeline.reports.missing import Missing

if TYPE_CHECKING:
    import pandas as pd
    from pydantic import BaseModel


def _schema() -> type[BaseModel]:
    from experiments.parameters import Parameters

    return Parameters


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


def _measure_states(first: Path, second: Path) -> pd.DataFrame:
    from experiments.distances import measure_states

    return measure_states(first, second)


PROJECT = Project(
    name="lstm-states",
    command="lstm-states",
    schema=_schema,
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
    memory=3 * 2**30,
    title=_title,
    preflight=_check_data,
    champion=Champion("validation.kept_loss", same=("dataset", "target", "loss")),
    # The index last: it leads to the claims, if they have a page.
    pages={
        "claims": Page("claims.html", _write_claims),
        "index": Page("index.html", _write_index),
    },
    beside={
        name: [Beside("explorer.html", "Explore the states", still="figures/states.png")]
        for name in SECTIONS
    },
    swept=SWEPT,
    compared={"claims.json": _verdicts},
    distances={"states.zarr": _measure_states},
)  # fmt: skip
