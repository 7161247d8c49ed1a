"""Summarise traces: saturation of gates, sizes and half-lives of states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from lstm_states.cells import KINDS
from lstm_states.nodes import by_piece, by_unit, state_nodes

SATURATED = (0.1, 0.9)
"""A gate below the first is called closed, above the second open (Karpathy et al. 2015)."""


def measure_states(traces: xr.DataTree) -> xr.Dataset:
    """Summarise the states and gates of each layer over the real steps.

    Args:
        traces: A tree from ``record_traces``, with any kind of cell.

    Returns:
        Dataset along ``layer``: ``hidden_size`` and ``cell_size``, root mean squares;
        ``hidden_saturated``, the share of |h| above 0.9; for each sigmoid gate ``<gate>_closed``
        and ``<gate>_open``, the shares below 0.1 and above 0.9; ``half_life``, that of the median
        unit, see :func:`measure_half_lives`; ``change``, the root mean square of h(t) - h(t-1) over
        that of h, NaN if h is always 0 or the traces hold no two steps in a row. All are NaN where
        the layer or the traces have no such state or gate.

    Raises:
        ValueError: if the tree holds derivatives.
    """
    return _by_layer(traces, _layer_summary)


def _layer_summary(node: xr.Dataset) -> dict[str, float]:
    real = node["mask"]
    states = {name: node[name].where(real) for name in ("hidden", "cell") if name in node}
    found = {f"{name}_size": _rms(values) for name, values in states.items()}
    found["half_life"] = xr.DataArray(np.median(_half_lives(node)))
    if "hidden" in states:
        hidden = states["hidden"]
        found["hidden_saturated"] = _share(abs(hidden) > SATURATED[1], real)
        moves = hidden.diff("time").where(abs(node["time"].diff("time")) == 1)  # of selected steps
        found["change"] = _rms(moves)
    for gate in _gates(node):
        found[f"{gate}_closed"] = _share(node[gate] < SATURATED[0], real)
        found[f"{gate}_open"] = _share(node[gate] > SATURATED[1], real)
    summary = _computed(found)
    if "change" in summary:
        size = summary["hidden_size"]
        summary["change"] = summary["change"] / size if size else np.nan
    return summary


def measure_half_lives(traces: xr.DataTree) -> xr.Dataset:
    """Measure how long each unit keeps its state by its gates alone, over the real steps.

    A step leaves the share f of the cell state of an LSTM, its forget gate, and the share z of the
    hidden state of a GRU, its update gate. A state has halved after ``-ln 2 / mean ln f`` real
    steps. What the state does to the gates later is left out:
    :func:`lstm_states.record_decay` measures it as well.

    Args:
        traces: A tree from ``record_traces``, with any kind of cell.

    Returns:
        Dataset of ``half_life (layer, unit)`` in steps: infinity where a unit loses nothing, 0
        where a gate is shut at a step. NaN where a layer has no such unit or gate in the traces (a
        SimpleRNN, a ConvLSTM, a cell with equations of its own), or if no step is real.

    Raises:
        ValueError: if the tree holds derivatives.

    Example:
        >>> measure_half_lives(traces)["half_life"].sel(layer="lstm").median()
    """
    nodes = state_nodes(traces)
    found = {address: _half_lives(node) for address, node in nodes.items()}
    about = {"long_name": "half-life of a state by the gates", "units": "steps"}
    return xr.Dataset({"half_life": by_unit(found, nodes, np.nan).assign_attrs(about)})


def _half_lives(node: xr.Dataset) -> np.ndarray:
    """Return the half-life of each unit, ``(unit,)``."""
    memory = KINDS[node.attrs["cell"]].memory
    if memory is None or memory.kept not in node:
        return np.full(node.sizes["unit"], np.nan)
    pieces = by_piece(partial(_logarithms, kept=memory.kept), node[[memory.kept, "mask"]])
    total, steps = (sum(parts) for parts in zip(*pieces, strict=True))
    if not steps:
        return np.full(node.sizes["unit"], np.nan)
    gain = total / steps
    with np.errstate(divide="ignore"):  # a gate of 1 keeps a state for ever
        return np.where(gain >= 0, np.inf, -np.log(2) / gain)


def _logarithms(node: xr.Dataset, kept: str) -> tuple[np.ndarray, int]:
    """Return the sum of ln f over the real steps, ``(unit,)``, and their number."""
    real = node["mask"].values
    with np.errstate(divide="ignore"):  # a gate of 0 keeps a state for no step
        return np.log(node[kept].values[real]).sum(0, dtype=np.float64), int(real.sum())


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

    Raises:
        ValueError: if the tree holds derivatives.

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

    Raises:
        ValueError: if the tree holds derivatives.
    """
    return _by_layer(traces, _norms)


def _computed(found: Mapping[str, xr.DataArray]) -> dict[str, float]:
    """Return numbers, in one pass through what Dask's arrays hold."""
    return {str(name): float(value) for name, value in xr.Dataset(found).compute().items()}


def _by_layer(traces: xr.DataTree, measure: Callable[[xr.Dataset], dict[str, float]]) -> xr.Dataset:
    rows = {address: measure(node) for address, node in state_nodes(traces).items()}
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return xr.Dataset(
        {name: ("layer", [row.get(name, np.nan) for row in rows.values()]) for name in names},
        coords={"layer": list(rows)},
    )


def _saturation(node: xr.Dataset) -> dict[str, float]:
    low, high = SATURATED
    shares = {}
    for gate in _gates(node):
        shares[f"{gate}_saturated_left"] = _share(node[gate] < low, node["mask"])
        shares[f"{gate}_saturated_right"] = _share(node[gate] > high, node["mask"])
    return _computed(shares)


def _gates(node: xr.Dataset) -> list[str]:
    return [str(name) for name in node.data_vars if str(name).endswith("_gate")]


def _norms(node: xr.Dataset) -> dict[str, float]:
    norms = {}
    for name in (state for state in ("hidden", "cell") if state in node):
        norm = (node[name] ** 2).sum("unit") ** 0.5
        norms[f"{name}_norm"] = norm.where(node["mask"]).mean()
    return _computed(norms)


def _rms(values: xr.DataArray) -> Any:
    return np.sqrt((values**2).mean())


def _share(condition: xr.DataArray, real: xr.DataArray) -> xr.DataArray:
    return condition.where(real).mean()
