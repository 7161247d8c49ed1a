"""How far the recorded states of two reports are apart, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lstm_states import measure_distances, open_traces
from notebook_pipeline.stages.provenance import read_provenance

if TYPE_CHECKING:
    import xarray as xr

QUANTITIES = ("hidden", "cell")

SAMPLES = ("dataset", "window", "trace_samples")
"""Parameters that choose the samples to record."""

INPUTS = ("center", "mask_value")
"""Parameters that change the values of the same samples."""

SAYS = (
    "Over all real steps of the recorded samples. Relative: the distance over the length of the "
    "first side's state, where that is not 0. Cosine: 1 less the cosine of the angle, where no "
    "state is 0. Units are compared one by one: in networks that began from other weights, units "
    "of one number have nothing in common."
)


def measure_states(first: Path, second: Path) -> pd.DataFrame:
    """Measure how far the states of two reports are apart that were recorded of the same samples.

    Args:
        first: Folder of a report with ``states.zarr``.
        second: Folder of another one.

    Returns:
        A row for each layer and quantity: the mean and the largest of the relative and of the
        cosine distance. ``attrs["says"]`` explains them.

    Raises:
        ValueError: if the two hold other samples, layers, units or steps; it says which.
    """
    made = [read_provenance(folder) or {} for folder in (first, second)]
    if apart := _apart(made, SAMPLES):
        raise ValueError(f"states were recorded of other samples: {apart}")
    traces, others = (open_traces(folder / "states.zarr") for folder in (first, second))
    layers, other_layers = (list(tree.attrs["layers"]) for tree in (traces, others))
    if layers != other_layers:
        raise ValueError(f"states were recorded of the layers {layers} beside {other_layers}")
    table = pd.DataFrame(
        [
            _row(measure_distances(traces, others, quantity=quantity, layers=layer), quantity)
            for layer in layers
            for quantity in QUANTITIES
            if quantity in traces[layer]  # a GRU has no cell state
        ]
    )
    inputs = _apart(made, INPUTS)
    table.attrs["says"] = SAYS + (f" The two were given other inputs: {inputs}." if inputs else "")
    return table


def _row(distances: xr.Dataset, quantity: str) -> dict[str, Any]:
    row: dict[str, Any] = {"layer": str(distances["layer"].item()), "states": quantity}
    for kind in ("relative", "cosine"):
        values = distances[kind].values
        known = values[np.isfinite(values)]
        row[f"{kind}, mean"] = float(known.mean()) if known.size else np.nan
        row[f"{kind}, largest"] = float(known.max()) if known.size else np.nan
    return row


def _apart(made: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    """Say which of some parameters differ, or the data; empty if none does."""
    a, b = (_parameters(one, names) for one in made)
    return ", ".join(
        f"{name} is {a.get(name, 'not set')} beside {b.get(name, 'not set')}"
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    )


def _parameters(made: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the parameters of these names that a report was made from, and of data its digest."""
    sections = made.get("parameters", {}).values()
    kept = {name: values[name] for values in sections for name in names if name in values}
    data = made.get("data", {}).items() if "dataset" in names else ()
    return kept | {path: digest for path, digest in data if path.startswith("data/")}
