"""How long a recurrent layer keeps a small change of one of its units."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import keras
import numpy as np
import xarray as xr

from lstm_states.distances import follow
from lstm_states.kernels.cells import kind_of, units_of
from lstm_states.layers import live_states
from lstm_states.traces.batches import count_samples, rows_of
from lstm_states.traces.edit import Edit
from lstm_states.traces.record import record_traces
from lstm_states.traces.request import BATCH_SIZE
from lstm_states.traces.traced_layers import vector_cell
from lstm_states.traces.tree import node_of_samples


def record_decay(
    model: keras.Model,
    x: Any,
    layer: str,
    *,
    time: int,
    quantity: str | None = None,
    add: float = 1e-3,
    mask: np.ndarray | None = None,
) -> xr.Dataset:
    """Change each unit of a layer alone at one step, and follow how its change decays.

    Unlike :func:`lstm_states.measure_half_lives`, which takes the gates as they are, everything
    follows from the change: the gates and the other units answer to it, and act on the unit.

    Args:
        model: A built model that processes every sample independently.
        x: A few samples, as :func:`lstm_states.record_traces` takes arrays. The model runs on them
            once more for each unit, in batches of which one is held at a time.
        layer: The address of a layer, or of one cell of stacked cells.
        time: The step of the change, counted as in the input. Samples in which it is masked don't
            count.
        quantity: The state to change; None is the one that a layer keeps by a gate, the cell state
            of an LSTM, and the hidden state of other layers.
        add: What is added to it.
        mask: Bool ``(sample, time)``, true where the step is real.

    Returns:
        Dataset of ``left (step, unit)``, the size of a unit's change over what it was at first, the
        mean over the samples that have so many real steps since, in the order in which the layer
        takes them; and ``half_life (unit)`` in steps, see :func:`half_life`: infinity where the
        change never halves in the steps that there are.

    Raises:
        UnsupportedLayerError: if the layer's states are no vectors, it is called several times, or
            its rows aren't the samples.
        ValueError: if an argument doesn't fit the model, or a layer of it is stateful.

    Example:
        >>> decay = record_decay(model, x[:8], "lstm", time=20)
        >>> decay["half_life"].median()
    """
    if not isinstance(time, Integral):
        raise ValueError(f"time is {time!r}; it must be an integer, a step of the input")
    if not isinstance(add, Real) or not np.isfinite(add):
        raise ValueError(f"add is {add!r}; it must be a finite number")
    holding, state, units = _state(model, layer, quantity)
    if live_states(model):
        raise ValueError(
            f"model {model.name!r} is stateful: its samples don't all start alike; pass "
            "stateless_twin(model)"
        )
    samples = count_samples(x, mask)
    # The samples as they are, then with each unit changed.
    runs = np.eye(units + 1, units, -1) * add
    at_once = max(1, BATCH_SIZE // max(1, samples))
    kept = []
    for first in range(0, len(runs), at_once):
        changes = runs[first : first + at_once]
        own = np.tile(np.arange(samples), len(changes))
        change = np.repeat(changes, samples, axis=0)[:, np.newaxis]
        traces = record_traces(
            model,
            keras.tree.map_structure(lambda values, own=own: rows_of(values, own), x),
            mask=None if mask is None else np.asarray(mask)[own],
            layers=holding,
            quantities=state,
            edits=[Edit(layer, state, add=change, time=[time])],
            outputs=False,
        )
        node = node_of_samples(traces, layer)
        values = node[state].values.reshape(len(changes), samples, -1, units)
        if first == 0:
            unchanged = values[0].copy()  # or it would keep the others
        # Of each run with a change only the unit that was changed.
        changed_runs = [n for n in range(len(changes)) if first + n]
        kept += [values[n, ..., first + n - 1].astype(np.float64) for n in changed_runs]
    changed = np.stack(kept, -1)
    real = node["mask"].values[:samples]
    backwards = bool(node.attrs["go_backwards"])
    apart, there = follow(np.abs(changed - unchanged), real, time, backwards=backwards)
    left = apart.mean(0, where=there[..., np.newaxis])
    if (left[0] == 0).any():
        raise ValueError(f"add is {add!r}, which is 0 or lost in rounding; it must be larger")
    left = left / left[0]
    return xr.Dataset(
        {
            "left": (("step", "unit"), left, {"long_name": "share of a change that is left"}),
            "half_life": ("unit", [half_life(own) for own in left.T], {"units": "steps"}),
        },
        attrs={"layer": layer, "state": state, "time": time, "add": add},
    )


def half_life(left: np.ndarray) -> float:
    """Return after how many steps a change has halved, its logarithm being linear between steps.

    Args:
        left: What is left of it, ``(step,)``, starting with 1.

    Returns:
        Steps until it is a half for the first time; infinity where it never is in these steps, NaN
        where it is no number on the way.
    """
    if np.isnan(left).any():
        return np.nan
    halved = np.flatnonzero(left <= 0.5)
    if not halved.size:
        return np.inf
    after = int(halved[0])
    before, now = np.log(np.maximum(left[after - 1 : after + 1], np.finfo(float).tiny))
    return float(after - 1 + (before - np.log(0.5)) / (before - now))


def _state(
    model: keras.Model, layer: str, quantity: str | None
) -> tuple[keras.layers.RNN, str, int]:
    """Return the Keras layer of an address, the state of it to change, and its width."""
    holding, cell = vector_cell(model, layer)
    kind = kind_of(cell)
    if quantity is None:
        quantity = kind.memory.state if kind.memory else kind.states[0]
    if quantity not in kind.states:
        raise ValueError(f"quantity is {quantity!r}; the states of {layer!r} are {kind.states}")
    return holding, quantity, units_of(cell)
