"""Compare the results of the kernels with those of the Keras layer, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lstm_states.kernels.cells import divide_states, kind_of
from lstm_states.kernels.layer import LayerRun
from lstm_states.kernels.scan import CellRun
from lstm_states.kernels.slots import spread
from lstm_states.proof.equations import TOLERANCES
from lstm_states.traces.cell_trace import CellTrace
from lstm_states.traces.traced_layers import TracedLayer

PROBED_STEPS = 256
"""Most steps of a batch's first and of its last sample that the layer itself takes again."""


class Probe(NamedTuple):
    """What a cell did with some samples and steps, and what the layer itself does there.

    A tuple with names, since that is what a ``tf.function`` returns as it is. :func:`judged`
    compares them.
    """

    given: list[tf.Tensor]
    """What the layer was given, and the states of all its cells before the step, ``(pair, ...)``.
    """
    weights: list[list[tf.Tensor]]
    """Of each cell of the layer."""
    recorded: list[tf.Tensor]
    """By state, as it was recorded, ``(pair, unit)``."""
    own: list[tf.Tensor]
    """By state, the layer's own ``(2 pair, unit)``: of all pairs, then of all once more, from
    numbers that are altered by the tolerance."""
    real: tf.Tensor
    """Bool ``(pair,)``, true where the step is neither masked nor edited."""
    nan: tf.Tensor
    """The step of the input with the first NaN among a sample's states ``(batch,)``, or -1."""


@dataclass(frozen=True)
class _Pairs:
    """Samples and steps to take again, ``(pair,)``: rows of the batch, steps as they are taken."""

    rows: tf.Tensor
    steps: tf.Tensor

    def take(self, by_step: tf.Tensor) -> tf.Tensor:
        """Take the pairs from ``(time, batch, ...)``."""
        return tf.gather_nd(by_step, tf.stack([self.steps, self.rows], 1))

    def states(
        self, runs: list[CellRun], starts: list[dict[str, tf.Tensor]], *, before: bool = False
    ) -> list[tf.Tensor]:
        """Take the states of all cells after the pairs' steps, or ``before`` them."""
        steps = self.steps - 1 if before else self.steps
        taken = []
        for run, start in zip(runs, starts, strict=True):
            slots = steps
            if run.slots is not None:
                found = _Pairs(self.rows, tf.maximum(steps, 0)).take(run.slots)
                slots = tf.where(steps < 0, -1, found)
            places = _Pairs(self.rows, tf.maximum(slots, 0))
            for name, state in start.items():
                first, later = tf.gather(state, self.rows), places.take(run.values[name])
                taken.append(tf.where(spread(slots < 0, state), first, later))
        return taken


def probe_run(
    traced: TracedLayer,
    original: Callable[..., Any],
    start: Any,
    real: tf.Tensor | None,
    run: LayerRun,
) -> dict[str, Probe]:
    """Have the layer itself take single steps again, each from the recorded state before it.

    So rounding that a layer amplifies from step to step never counts. Within a step it does: the
    layer takes each once more from numbers that are altered at random by the tolerance, and what
    that changes is what rounding explains. The steps are those of the first and the last sample,
    and of every sample the one with its first NaN.

    Args:
        traced: The layer and its cells.
        original: The layer's own ``inner_loop``.
        start: Its start, nested as Keras nests it.
        real: Bool ``(batch, time)``, true where the step counts: it is neither masked nor edited.
            None if all do.
        run: What the kernels gave for the same arguments.

    Returns:
        A probe by the address of each cell.
    """
    cells, backwards = list(traced.cells.values()), traced.layer.go_backwards
    steps = tf.shape(run.given[0])[0]
    first = [
        dict(zip(kind_of(cell).states, states, strict=True))
        for cell, states in zip(cells, divide_states(cells, start), strict=True)
    ]
    runs = [_joined(parts, tuple(states)) for parts, states in zip(run.parts, first, strict=True)]
    nans = [_first_nan(one, states) for one, states in zip(runs, first, strict=True)]
    pairs = _pairs(tf.shape(run.given[0])[1], steps, nans)
    given = tf.cast(pairs.take(run.given[0]), cells[0].compute_dtype)
    before = pairs.states(runs, first, before=True)
    own = _two_ways(original, given, start, before, cells)
    recorded = divide_states(cells, pairs.states(runs, first))
    if real is None:
        counts = tf.ones_like(pairs.rows, bool)
    else:
        by_step = tf.transpose(real)
        counts = pairs.take(tf.reverse(by_step, [0]) if backwards else by_step)
    weights = [[tf.convert_to_tensor(weight) for weight in cell.weights] for cell in cells]
    probes = {}
    for address, nan, states, own_states in zip(traced.cells, nans, recorded, own, strict=True):
        nan = tf.where(nan < 0, nan, steps - 1 - nan) if backwards else nan
        probes[address] = Probe([given, *before], weights, states, own_states, counts, nan)
    return probes


@np.errstate(invalid="ignore", over="ignore")  # states may be NaN or explode
def judged(node: CellTrace) -> CellTrace:
    """Return ``node`` with how far its recorded states are from the layer's own, if it was probed.

    In NumPy: the operations of a graph would take longer to make than to run.
    """
    probe = node.probe
    if probe is None:
        return node
    tolerance = TOLERANCES[probe.own[0].dtype.name]
    recorded = [np.asarray(state, np.float64) for state in probe.recorded]
    peak = np.max([_largest(state) for state in recorded], 0)
    error = excess = 0.0
    for state, own in zip(recorded, probe.own, strict=True):
        plain, altered = np.split(np.asarray(own, np.float64), 2)
        limit = tolerance * (1 + peak) + _largest(altered - plain)
        apart = np.abs(plain - state)
        brink = np.isfinite(plain) != np.isfinite(altered)  # rounding decides there
        settled = (plain == state) | (np.isnan(plain) & np.isnan(state)) | brink
        if not np.isfinite(apart[~settled]).all():
            settled |= ~np.isfinite(apart) & spread(_may_overflow(probe), apart)
        settled[~np.asarray(probe.real)] = True
        number = np.isfinite(apart)
        error = np.max(apart, where=number & ~settled, initial=error)
        beyond = np.where(number, apart / limit, np.inf)
        excess = np.max(beyond, where=~settled, initial=excess)
    return node._replace(error=float(error), excess=float(excess))


def _may_overflow(probe: Probe) -> np.ndarray:
    """Tell of each pair whether a sum of products may leave the range of its precision.

    Whether it then ends in a number, in infinity or in NaN hangs on the order of its terms.
    """
    # No sum of products with a kernel is larger than its column times the largest number given.
    columns = [[np.abs(np.atleast_1d(np.float64(w))) for w in own] for own in probe.weights]
    gains = [1 + sum(w.reshape(-1, w.shape[-1]).sum(0).max() for w in own) for own in columns]
    flat = [np.abs(np.asarray(v, np.float64)).reshape(len(v), -1) for v in probe.given]
    sizes = np.concatenate(flat, 1)
    largest = sizes.max(1, where=~np.isnan(sizes), initial=1)
    return largest * np.prod(gains) > float(probe.own[0].dtype.max) / 4


def _largest(values: np.ndarray) -> np.ndarray:
    """Return the largest finite number of each row, ``(row, 1, ...)``."""
    inner, finite = tuple(range(1, values.ndim)), np.isfinite(values)
    return np.max(np.abs(values), inner, where=finite, initial=0, keepdims=True)


def _joined(parts: list[CellRun], states: tuple[str, ...]) -> CellRun:
    """Return the states of all parts of a batch as one run."""
    values = {name: tf.concat([part.values[name] for part in parts], 1) for name in states}
    slots = [part.slots for part in parts]
    return CellRun(values, None if slots[0] is None else tf.concat(slots, 1))


def _first_nan(run: CellRun, first: dict[str, tf.Tensor]) -> tf.Tensor:
    """Return for each sample the first step, as they are taken, with NaN in a state, or -1."""
    inner = tuple(range(1 - len(next(iter(first.values())).shape), 0))
    ran, at_start = (
        tf.reduce_any(reduce(tf.logical_or, map(tf.math.is_nan, states)), inner)
        for states in ([run.values[name] for name in first], first.values())
    )
    nan = CellRun({"nan": ran}, run.slots).steps("nan", at_start)
    return tf.where(tf.reduce_any(nan, 0), tf.argmax(nan, 0, tf.int32), -1)


def _pairs(rows: tf.Tensor, steps: tf.Tensor, nans: list[tf.Tensor]) -> _Pairs:
    spread = tf.minimum(PROBED_STEPS, steps)
    evenly = tf.range(spread) * (steps - 1) // tf.maximum(spread - 1, 1)
    first = tf.zeros_like(evenly)
    # A model may leave a batch empty.
    ends = tf.concat([first, first + rows - 1], 0)[: 2 * spread * rows]
    twice = tf.concat([evenly, evenly], 0)[: 2 * spread * rows]
    every = [tf.range(rows)] * len(nans)
    starts = [tf.maximum(nan, 0) for nan in nans]
    return _Pairs(tf.concat([ends, *every], 0), tf.concat([twice, *starts], 0))


def _two_ways(
    original: Callable[..., Any],
    given: tf.Tensor,
    start: Any,
    before: list[tf.Tensor],
    cells: list[keras.Layer],
) -> list[list[tf.Tensor]]:
    """Return by cell and state what the layer makes of the pairs, then of them altered."""
    doubled = [tf.concat([v, _altered(v, seed)], 0) for seed, v in enumerate([given, *before])]
    _, _, after = original(
        sequences=doubled[0][:, tf.newaxis],
        initial_state=keras.tree.pack_sequence_as(start, doubled[1:]),
        mask=None,
        training=False,
    )
    return divide_states(cells, after)


def _altered(values: tf.Tensor, seed: int) -> tf.Tensor:
    up = tf.random.stateless_uniform(tf.shape(values), (seed, 0)) < 0.5
    by = TOLERANCES[values.dtype.name]
    return values * tf.cast(tf.where(up, 1 + by, 1 - by), values.dtype)
