"""Whose memory a state is: what each earlier step wrote, and how much of it is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from lstm_states.cells import KINDS, layers_of
from lstm_states.cells.kind import Memory


def measure_memory(
    traces: xr.DataTree,
    layer: str,
    *,
    time: int | Sequence[int] | None = None,
    window: int | None = None,
) -> xr.Dataset:
    """Split a state into what each step wrote and every gate since has left of it.

    The cell state of an LSTM is a sum, exactly: ``c_t = f_t * c_(t-1) + i_t * g_t``, so step ``s``
    contributes ``i_s * g_s`` times the forget gates of all steps from ``s + 1`` to ``t``, and the
    start contributes what they have left of it. The hidden state of a GRU is such a sum likewise,
    with its update gate ``z`` in place of the forget gate and ``(1 - z) * g`` written. A SimpleRNN
    keeps no share of its state: all of it is made new at each step, and it has no ledger.

    Args:
        traces: A tree from :func:`lstm_states.record_traces` with all quantities and steps.
        layer: The address of a layer.
        time: The steps whose states are split, counted as in the trace; None is the last one.
        window: How many steps before each of them get an entry of their own; all older ones are
            summed in ``older``. None is all steps. It bounds the memory that the result takes.

    Returns:
        Dataset of ``written (sample, time, lag, unit)``, what the step ``lag`` steps before (in the
        order in which the layer takes the steps) contributes to the state at ``time``; ``older``,
        ``start`` and ``edited (sample, time, unit)``, what the steps beyond the window, the initial
        state and edits contribute; ``state``, the recorded state; and ``residual (time)``, the
        largest difference between the state and the sum of all. Masked steps keep all and write
        nothing. Of traces with Dask's arrays, it has Dask's arrays.

    Raises:
        ValueError: if ``traces`` or an argument doesn't allow it; it says which.

    Example:
        >>> memory = measure_memory(traces, "lstm_1", time=99)
        >>> abs(memory["written"]).mean(["sample", "unit"])  # which steps it remembers
    """
    node = _checked(traces, layer)
    memory = KINDS[node.attrs["cell"]].memory
    assert memory is not None
    steps = node.sizes["time"]
    chosen = np.atleast_1d(steps - 1 if time is None else np.asarray(time))
    if chosen.dtype.kind not in "iu" or np.any((chosen < -steps) | (chosen >= steps)):
        raise ValueError(f"time is {time!r}; it must be steps of the {steps} in the traces")
    if window is not None and (not isinstance(window, int | np.integer) or window < 1):
        raise ValueError(f"window is {window!r}; it must be an integer of at least 1")
    chosen = chosen % steps
    backwards = bool(node.attrs["go_backwards"])
    places = steps - 1 - chosen if backwards else chosen
    lags = steps if window is None else min(window, steps)
    names = [*KINDS[node.attrs["cell"]].quantities, f"initial_{memory.state}", "mask"]
    names += ["edited"] if "edited" in node else []
    given = [node[name].variable for name in names]
    found = xr.apply_ufunc(
        partial(
            _entries, names=names, memory=memory, backwards=backwards, places=places, lags=lags
        ),
        *given,
        input_core_dims=[values.dims[1:] for values in given],
        output_core_dims=[("place", "lag", "unit"), *[("place", "unit")] * 4, ("place",)],
        exclude_dims={"time"},
        keep_attrs=False,
        dask="parallelized",
        output_dtypes=[np.float64] * 6,
        dask_gufunc_kwargs={"output_sizes": {"place": len(places), "lag": lags}},
    )
    entries = ("written", "older", "start", "edited", "state", "residual")
    ledger = xr.Dataset(dict(zip(entries, found, strict=True))).rename_dims(place="time")
    residual = ledger["residual"].max(str(node[memory.state].dims[0]), skipna=False)
    return (
        ledger.assign(residual=residual)
        .assign_coords({"time": chosen, "lag": np.arange(lags)})
        .assign_attrs(layer=layer, state=memory.state)
    )


def _entries(
    *given: np.ndarray,
    names: Sequence[str],
    memory: Memory,
    backwards: bool,
    places: np.ndarray,
    lags: int,
) -> tuple[np.ndarray, ...]:
    """Return the variables of a ledger, but for the residual that of each sample."""
    flows = _flows(dict(zip(names, given, strict=True)), memory, backwards)
    parts = [_split(flows, place, lags) for place in places]
    found = [np.stack(own, 1) for own in zip(*parts, strict=True)]
    state = flows.state[:, places]
    total = found[0].sum(2) + found[1] + found[2] + found[3]
    return (*found, state, np.abs(state - total).max(2))


@dataclass(frozen=True)
class _Flows:
    """What of a state is kept and written, ``(sample, time, unit)`` in the order of the steps.

    ``start`` is the initial state ``(sample, unit)``, and ``edited`` what edits have added.
    """

    state: np.ndarray
    kept: np.ndarray
    written: np.ndarray
    edited: np.ndarray
    start: np.ndarray


def _checked(traces: xr.DataTree, layer: str) -> xr.Dataset:
    """Return the node of a layer of which a ledger can be kept."""
    nodes = layers_of(traces)
    if layer not in nodes:
        raise ValueError(f"layer is {layer!r}; the traces hold {list(nodes)}")
    if "derivatives" in traces.attrs:
        raise ValueError("traces holds derivatives, which are no states")
    node = nodes[layer]
    kind = KINDS[node.attrs["cell"]]
    if kind.memory is None:
        having = [name for name, other in KINDS.items() if other.memory]
        raise ValueError(
            f"layer {layer!r} is a {kind.name}: no quantity of its trace says which share of a "
            f"state it keeps; a ledger is for {having}"
        )
    if missing := [quantity for quantity in kind.quantities if quantity not in node]:
        raise ValueError(f"layer {layer!r} has no {missing}; a ledger needs all quantities")
    steps = node.sizes["time"]
    if "time" in node.coords and not np.array_equal(node["time"], np.arange(steps)):
        raise ValueError(f"layer {layer!r} holds selected steps; a ledger needs all of them")
    return node


def _flows(given: Mapping[str, np.ndarray], memory: Memory, backwards: bool) -> _Flows:
    order = slice(None, None, -1) if backwards else slice(None)
    first, no_steps = f"initial_{memory.state}", (f"initial_{memory.state}", "mask", "edited")
    values = {
        name: np.asarray(array[:, order], np.float64)
        for name, array in given.items()
        if name not in no_steps
    }
    real = given["mask"][:, order, np.newaxis]
    kept = np.where(real, values[memory.kept], 1.0)
    written = np.where(real, memory.written(values), 0.0)
    state = values[memory.state]
    start = np.asarray(given[first], np.float64)
    edited = np.zeros_like(state)
    if "edited" in given:
        before = np.concatenate([start[:, np.newaxis], state[:, :-1]], 1)
        where = given["edited"][:, order, np.newaxis]
        edited = np.where(where, state - (kept * before + written), 0.0)
    return _Flows(state, kept, written, edited, start)


def _split(flows: _Flows, place: int, lags: int) -> tuple[np.ndarray, ...]:
    """Return what each of the last steps, older ones, the start and edits contribute to a state."""
    left = np.ones_like(flows.start)
    written = np.zeros((len(left), lags, left.shape[1]))
    older, edited = np.zeros_like(left), np.zeros_like(left)
    for lag in range(place + 1):
        step = place - lag
        if lag < lags:
            written[:, lag] = left * flows.written[:, step]
        else:
            older += left * flows.written[:, step]
        edited += left * flows.edited[:, step]
        left = left * flows.kept[:, step]
    return written, older, left * flows.start, edited
