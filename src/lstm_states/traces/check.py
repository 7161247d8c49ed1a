"""Prove a trace right from its own numbers."""

from __future__ import annotations

import keras
import numpy as np
import xarray as xr

from lstm_states.schema import QUANTITIES, layers_of


def check_traces(traces: xr.DataTree) -> xr.Dataset:
    """Measure how far a trace is from the equations that define it.

    Args:
        traces: What :func:`record_traces` returned, with all six quantities.

    Returns:
        Dataset along ``layer`` of largest absolute residuals over all samples, real steps and
        units: ``cell`` of ``c = f * c_prev + i * g``, ``hidden`` of ``h = o * tanh(c)`` (or the
        layer's own activation), ``carried`` of the states at masked steps against the step before,
        and ``layer_output`` of the recorded h against what the layer returned.

    Raises:
        ValueError: if a layer lacks a quantity; it says which.

    Example:
        >>> check_traces(record_traces(model, x))["cell"].max()
    """
    nodes = layers_of(traces)
    residuals = [_residuals(address, node) for address, node in nodes.items()]
    return xr.Dataset(
        {name: ("layer", [row[name] for row in residuals]) for name in residuals[0]},
        coords={"layer": list(nodes)},
    )


def _residuals(address: str, node: xr.Dataset) -> dict[str, float]:
    missing = [name for name in QUANTITIES if name not in node]
    if missing:
        raise ValueError(f"layer {address!r} has no {missing}; a check needs all six quantities")
    h, c, i, f, g, o = (node[name].values for name in QUANTITIES)
    h_prev = _previous(node, "hidden")
    c_prev = _previous(node, "cell")
    real = node["mask"].values[..., np.newaxis]
    activation = keras.activations.get(node.attrs["activation"])
    shown = np.asarray(activation(keras.ops.convert_to_tensor(c)))
    carried = np.maximum(np.abs(h - h_prev), np.abs(c - c_prev))
    return {
        "cell": _largest(np.abs(c - (f * c_prev + i * g)), real),
        "hidden": _largest(np.abs(h - o * shown), real),
        "carried": _largest(carried, ~real),
        "layer_output": node.attrs["layer_output_error"],
    }


def _previous(node: xr.Dataset, name: str) -> np.ndarray:
    """The state before each step, ``(sample, time, unit)``, in the order the layer took them."""
    first = node[f"initial_{name}"].values[:, np.newaxis]
    values = node[name].values
    if node.attrs["go_backwards"]:
        return np.concatenate([values[:, 1:], first], axis=1)
    return np.concatenate([first, values[:, :-1]], axis=1)


def _largest(values: np.ndarray, where: np.ndarray) -> float:
    return float(np.max(values, where=np.broadcast_to(where, values.shape), initial=0.0))
