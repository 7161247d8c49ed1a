"""How long each layer remembers a change of its input, and how far open its gates are."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import xarray as xr

import lstm_states.distances as library
from experiments.depth.probes import as_traces, hidden_states
from experiments.shared.evidence import for_each_model
from lstm_states.cells import SIGMOID_GATES
from lstm_states.summary import measure_saturation
from lstm_states.traces.record import record_traces


def measure_distances(models: Mapping[str, keras.Model], x: np.ndarray) -> xr.Dataset:
    """Change one input and follow how far each layer's h is from what it would have been.

    After Hermans and Schrauwen (2013), who change one character of a text.

    Args:
        models: By name, stacks of the same depth.
        x: ``(sample, time, feature)``; 1 is added to all features of the step at a quarter.

    Returns:
        ``distance (model, layer, step)``: the Euclidean distance of h, the mean over samples,
        relative to its largest; ``step`` counts from the changed one. ``time_scale (model,
        layer)``: the steps until it has faded to 1/e of its peak; where it has not by the end, the
        steps that there are.
    """
    at = x.shape[1] // 4
    changed = x.copy()
    changed[:, at] += 1
    found = []
    for model in models.values():
        plain, moved = (_traces_of_layers(model, given) for given in (x, changed))
        apart = library.measure_distances(plain, moved)
        found.append(library.measure_time_scales(apart, time=at))
    joined = xr.concat(found, xr.DataArray(list(models), dims="model", name="model"))
    joined = joined.assign_coords(layer=joined["layer"].astype(int))
    scales = joined["time_scale"]
    about = {"long_name": "Distance of h, relative to its peak", "units": "1"}
    return xr.Dataset(
        {
            "distance": joined["fading"].assign_attrs(about),
            "time_scale": scales.where(~np.isinf(scales), joined.sizes["step"]),
        }
    )


def _traces_of_layers(model: keras.Model, x: np.ndarray) -> xr.DataTree:
    """Return h of each layer at every step, by the layer's number from 1 on."""
    return as_traces({str(n): states for n, states in enumerate(hidden_states(model, x), 1)})


def measure_time_scales(distances: xr.Dataset, *, ending: str = "") -> xr.Dataset:
    """Return how many steps what one input changed takes to fade, by claim 14.

    Args:
        distances: What :func:`measure_distances` returned of stacks of two layers.
        ending: Of the measures' names, such as ``_untrained``.

    Returns:
        ``time_scale_layer_1`` and ``time_scale_layer_2`` in steps, and the second over the first.
    """
    how = ending.replace("_", " ")
    scales = {layer: distances["time_scale"].sel(layer=layer).values for layer in (1, 2)}
    data = {
        f"time_scale_layer_{layer}{ending}": (
            "model", values,
            {"long_name": f"Time scale of layer {layer}{how}", "units": "steps"},
        )
        for layer, values in scales.items()
    }  # fmt: skip
    data[f"time_scale_layer_2_over_1{ending}"] = (
        "model", scales[2] / scales[1],
        {"long_name": f"Time scale of layer 2 over that of layer 1{how}", "units": "1"},
    )  # fmt: skip
    return xr.Dataset(data, coords={"model": distances["model"].values})


@for_each_model(
    saturated_layer_1=("Gates of layer 1 that are closed or open", "share"),
    saturated_layer_2=("Gates of layer 2 that are closed or open", "share"),
    closed_layer_1=("Gates of layer 1 below 0.1", "share"),
    closed_layer_2=("Gates of layer 2 below 0.1", "share"),
    open_layer_1=("Gates of layer 1 above 0.9", "share"),
    open_layer_2=("Gates of layer 2 above 0.9", "share"),
)
def measure_saturated(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Count how often the gates of two layers are saturated, by claim 9.

    Karpathy, Johnson and Fei-Fei (2015): a gate is saturated below 0.1 and above 0.9. The three
    sigmoid gates are taken together.
    """
    found = measure_saturation(record_traces(model, x, quantities=list(SIGMOID_GATES)))
    shares = {}
    for number in (1, 2):
        layer = found.isel(layer=number - 1)
        closed, opened = (
            float(np.mean([layer[f"{gate}_saturated_{side}"] for gate in SIGMOID_GATES]))
            for side in ("left", "right")
        )
        shares[f"closed_layer_{number}"] = closed
        shares[f"open_layer_{number}"] = opened
        shares[f"saturated_layer_{number}"] = closed + opened
    return shares
