"""Summarise traces: saturation of gates, sizes and half-lives of states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from lstm_states.cells import SIGMOID_GATES, layers_of

SATURATED = (0.1, 0.9)
"""A gate below the first is called closed, above the second open (Karpathy et al. 2015)."""


def measure_states(traces: xr.DataTree) -> xr.Dataset:
    """Summarise the states and gates of each layer over the real steps.

    Args:
        traces: A tree from ``record_traces``.

    Returns:
        Dataset along ``layer``: ``hidden_size`` and ``cell_size``, root mean squares;
        ``hidden_saturated``, the share of |h| above 0.9; for each sigmoid gate ``<gate>_closed``
        and ``<gate>_open``, the shares below 0.1 and above 0.9; ``half_life``, the number of steps
        after which the cell state of the median unit has halved under its mean forget gate,
        ``-ln 2 / mean ln f``; ``change``, the root mean square of h(t) - h(t-1) over that of h.
    """
    layers = layers_of(traces)
    rows = [_layer_summary(node) for node in layers.values()]
    return xr.Dataset(
        {name: ("layer", [row[name] for row in rows]) for name in rows[0]},
        coords={"layer": list(layers)},
    )


def _layer_summary(node: xr.Dataset) -> dict[str, float]:
    real = node["mask"]
    hidden, cell = (node[name].where(real) for name in ("hidden", "cell"))
    with np.errstate(divide="ignore"):  # a gate of 0 or 1 keeps a state for no step or for ever
        decay = abs(xr.apply_ufunc(np.log, node["forget_gate"].where(real))).mean(real.dims)
        half_lives = np.log(2) / decay
    summary = {
        "hidden_size": _rms(hidden),
        "cell_size": _rms(cell),
        "hidden_saturated": _share(abs(hidden) > SATURATED[1], real),
        "half_life": float(half_lives.median()),
        "change": _rms(hidden.diff("time")) / _rms(hidden),
    }
    for gate in SIGMOID_GATES:
        summary[f"{gate}_closed"] = _share(node[gate] < SATURATED[0], real)
        summary[f"{gate}_open"] = _share(node[gate] > SATURATED[1], real)
    return summary


def measure_saturation(traces: xr.DataTree) -> xr.Dataset:
    """Measure how often the gates of each layer are nearly closed or open, over the real steps.

    Following Karpathy, Johnson and Fei-Fei (2015), "Visualizing and Understanding Recurrent
    Networks", a gate is left-saturated below 0.1 and right-saturated above 0.9.

    Args:
        traces: A tree from ``record_traces``, with any kind of cell.

    Returns:
        Dataset along ``layer`` of the shares ``<gate>_saturated_left`` and
        ``<gate>_saturated_right``: for an LSTM of its three sigmoid gates, for a GRU of
        ``update_gate`` and ``reset_gate``. A share is NaN if the layer or the traces have no such
        gate, or if no step is real.

    Example:
        >>> measure_saturation(traces)["forget_gate_saturated_right"].sel(layer="lstm")
    """
    return _by_layer(traces, _saturation)


def measure_norms(traces: xr.DataTree) -> xr.Dataset:
    """Measure the size of the states of each layer over the real steps.

    Args:
        traces: A tree from ``record_traces``, with any kind of cell.

    Returns:
        Dataset along ``layer`` of ``hidden_norm`` and ``cell_norm``: the L2 norm over the units,
        averaged over samples and real steps (and spatial positions of a ConvLSTM); NaN as in
        :func:`measure_saturation`.
    """
    return _by_layer(traces, _norms)


def _by_layer(traces: xr.DataTree, measure: Callable[[xr.Dataset], dict[str, float]]) -> xr.Dataset:
    rows = {address: measure(node) for address, node in layers_of(traces).items()}
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return xr.Dataset(
        {name: ("layer", [row.get(name, np.nan) for row in rows.values()]) for name in names},
        coords={"layer": list(rows)},
    )


def _saturation(node: xr.Dataset) -> dict[str, float]:
    low, high = SATURATED
    shares = {}
    for gate in (str(name) for name in node.data_vars if str(name).endswith("_gate")):
        shares[f"{gate}_saturated_left"] = _share(node[gate] < low, node["mask"])
        shares[f"{gate}_saturated_right"] = _share(node[gate] > high, node["mask"])
    return shares


def _norms(node: xr.Dataset) -> dict[str, float]:
    norms = {}
    for name in (state for state in ("hidden", "cell") if state in node):
        norm = (node[name] ** 2).sum("unit") ** 0.5
        norms[f"{name}_norm"] = float(norm.where(node["mask"]).mean())
    return norms


def _rms(values: xr.DataArray) -> float:
    return float(np.sqrt((values**2).mean()))


def _share(condition: xr.DataArray, real: xr.DataArray) -> float:
    return float(condition.where(real).mean())
