"""How long each layer remembers a change of its input, and how far open its gates are."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import xarray as xr

from experiments.depth.probes import hidden_states
from experiments.shared.evidence import for_each_model
from lstm_states.cells import SIGMOID_GATES
from lstm_states.summary import measure_saturation
from lstm_states.traces.record import record_traces

FADED = float(np.exp(-1))
"""Share of its peak to which the distance must fall."""


def measure_distances(models: Mapping[str, keras.Model], x: np.ndarray) -> xr.Dataset:
    """Change one input and follow how far each layer's h is from what it would have been.

    After Hermans and Schrauwen (2013), who change one character of a text.

    Args:
        models: By name, stacks of the same depth.
        x: ``(sample, time, feature)``; 1 is added to all features of the step at a quarter.

    Returns:
        ``distance (model, layer, step)``: the Euclidean distance of h, the mean over samples,
        relative to its largest; ``step`` counts from the changed one.
    """
    at = x.shape[1] // 4
    changed = x.copy()
    changed[:, at] += 1
    curves = []
    for model in models.values():
        pairs = zip(hidden_states(model, x), hidden_states(model, changed), strict=True)
        apart = [np.linalg.norm(b - a, axis=-1).mean(axis=0)[at:] for a, b in pairs]
        with np.errstate(invalid="ignore"):  # what never moves has no peak: NaN
            curves.append([curve / curve.max() for curve in apart])
    about = {"long_name": "Distance of h, relative to its peak", "units": "1"}
    return xr.Dataset(
        {"distance": (("model", "layer", "step"), np.array(curves), about)},
        coords={"model": list(models), "layer": np.arange(len(curves[0])) + 1},
    )


def measure_time_scales(distances: xr.Dataset, *, ending: str = "") -> xr.Dataset:
    """Count the steps until what one input changed has faded to 1/e of its peak, by claim 14.

    Args:
        distances: What :func:`measure_distances` returned of stacks of two layers.
        ending: Of the measures' names, such as ``_untrained``.

    Returns:
        ``time_scale_layer_1`` and ``time_scale_layer_2`` in steps, where it has not faded by the
        end the steps that there are, and the second over the first.
    """
    how = ending.replace("_", " ")
    scales = {
        layer: [_fading(curve) for curve in distances["distance"].sel(layer=layer).values]
        for layer in (1, 2)
    }
    data = {
        f"time_scale_layer_{layer}{ending}": (
            "model", values,
            {"long_name": f"Time scale of layer {layer}{how}", "units": "steps"},
        )
        for layer, values in scales.items()
    }  # fmt: skip
    data[f"time_scale_layer_2_over_1{ending}"] = (
        "model", [upper / lower for lower, upper in zip(scales[1], scales[2], strict=True)],
        {"long_name": f"Time scale of layer 2 over that of layer 1{how}", "units": "1"},
    )  # fmt: skip
    return xr.Dataset(data, coords={"model": distances["model"].values})


def _fading(curve: np.ndarray) -> float:
    """Return the first step after the peak at which the curve has faded; NaN without a peak."""
    if np.isnan(curve).any():
        return float("nan")
    peak = int(curve.argmax())
    faded = np.flatnonzero(curve[peak:] <= FADED * curve[peak])
    return float(peak + faded[0]) if faded.size else float(len(curve))


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
