"""Hold what the kernels gave against what the Keras layer itself gives, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from lstm_states.kernels.cells import divide_states, kind_of
from lstm_states.kernels.layer import LayerRun
from lstm_states.kernels.scan import CellRun, spread
from lstm_states.proof.equations import TOLERANCES
from lstm_states.traces.traced_layers import TracedLayer

PROBED_STEPS = 256
"""Most steps of a batch's first and of its last sample that the layer itself takes again."""


@dataclass(frozen=True)
class Probe:
    """How the states of one cell compare with the layer's own.

    ``error`` is the largest difference of two numbers; ``excess`` the largest one in relation to
    what rounding explains, infinite where one of the two isn't finite and the other is. ``nan
    (batch,)`` is the step of the input with the first NaN among a sample's states, -1 if none is.
    """

    error: tf.Tensor
    excess: tf.Tensor
    nan: tf.Tensor


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
    sequences: tf.Tensor,
    start: Any,
    mask: tf.Tensor | None,
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
        sequences: What the layer was given, ``(batch, time, feature)``.
        start: Its start, nested as Keras nests it.
        mask: Its mask ``(batch, time)`` or None.
        run: What the kernels gave for the same arguments.

    Returns:
        A probe by the address of each cell.
    """
    cells, backwards = list(traced.cells.values()), traced.layer.go_backwards

    def in_order(values: tf.Tensor) -> tf.Tensor:
        """Bring ``(batch, time, ...)`` in the order in which the steps are taken."""
        by_step = tf.transpose(values, (1, 0, *range(2, len(values.shape))))
        return tf.reverse(by_step, [0]) if backwards else by_step

    first = [
        dict(zip(kind_of(cell).states, states, strict=True))
        for cell, states in zip(cells, divide_states(cells, start), strict=True)
    ]
    runs = [_joined(parts, tuple(states)) for parts, states in zip(run.parts, first, strict=True)]
    nans = [_first_nan(one, states) for one, states in zip(runs, first, strict=True)]
    pairs = _pairs(tf.shape(sequences), nans)
    given = pairs.take(in_order(sequences))
    given = tf.cast(given, cells[0].compute_dtype)
    own = _two_ways(original, given, start, pairs.states(runs, first, before=True), cells)
    recorded = divide_states(cells, pairs.states(runs, first))
    real = tf.ones_like(pairs.rows, bool) if mask is None else pairs.take(in_order(mask))
    last = tf.shape(sequences)[1] - 1
    probes = {}
    for place, (address, cell) in enumerate(traced.cells.items()):
        nan = nans[place]
        nan = tf.where(nan < 0, nan, last - nan) if backwards else nan
        probes[address] = Probe(*_compare(cell, recorded[place], own[place], real), nan)
    return probes


def _joined(parts: list[CellRun], states: tuple[str, ...]) -> CellRun:
    """Return the states of all parts of a batch as one run."""
    values = {name: tf.concat([part.values[name] for part in parts], 1) for name in states}
    slots = [part.slots for part in parts]
    return CellRun(values, None if slots[0] is None else tf.concat(slots, 1))


def _first_nan(run: CellRun, first: dict[str, tf.Tensor]) -> tf.Tensor:
    """Return for each sample the first step, as they are taken, with NaN in a state, or -1."""
    found = []
    for name, state in first.items():
        inner = range(1 - len(state.shape), 0)
        flags = [tf.reduce_any(tf.math.is_nan(v), inner) for v in (run.values[name], state)]
        found.append(CellRun({name: flags[0]}, run.slots).steps(name, flags[1]))
    nan = tf.reduce_any(tf.stack(found), 0)
    return tf.where(tf.reduce_any(nan, 0), tf.argmax(nan, 0, tf.int32), -1)


def _pairs(shape: tf.Tensor, nans: list[tf.Tensor]) -> _Pairs:
    rows, steps = shape[0], shape[1]
    spread = tf.minimum(PROBED_STEPS, steps)
    evenly = tf.range(spread) * (steps - 1) // tf.maximum(spread - 1, 1)
    ends = tf.repeat([0, rows - 1], spread)[: 2 * spread * tf.minimum(rows, 1)]
    twice = tf.tile(evenly, [2])[: tf.shape(ends)[0]]  # a model may leave a batch empty
    every = [tf.range(rows)] * len(nans)
    starts = [tf.maximum(nan, 0) for nan in nans]
    return _Pairs(tf.concat([ends, *every], 0), tf.concat([twice, *starts], 0))


def _two_ways(
    original: Callable[..., Any],
    given: tf.Tensor,
    start: Any,
    before: list[tf.Tensor],
    cells: list[keras.Layer],
) -> list[list[tuple[tf.Tensor, tf.Tensor]]]:
    """Return by cell and state what the layer makes of the pairs as they are, and altered."""
    doubled = [tf.concat([v, _altered(v, seed)], 0) for seed, v in enumerate([given, *before])]
    _, _, after = original(
        sequences=doubled[0][:, tf.newaxis],
        initial_state=keras.tree.pack_sequence_as(start, doubled[1:]),
        mask=None,
        training=False,
    )
    return [[tuple(tf.split(state, 2)) for state in own] for own in divide_states(cells, after)]


def _altered(values: tf.Tensor, seed: int) -> tf.Tensor:
    up = tf.random.stateless_uniform(tf.shape(values), (seed, 0)) < 0.5
    by = TOLERANCES[values.dtype.name]
    return values * tf.cast(tf.where(up, 1 + by, 1 - by), values.dtype)


def _compare(
    cell: keras.Layer,
    recorded: list[tf.Tensor],
    own: list[tuple[tf.Tensor, tf.Tensor]],
    real: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the ``error`` and the ``excess`` of one cell over all its states."""
    exact = [tf.cast(state, tf.float64) for state in recorded]
    ways = [tuple(tf.cast(state, tf.float64) for state in pair) for pair in own]
    peak = tf.reduce_max([_largest(state) for state in exact], 0)
    errors, excesses = [], []
    for state, (plain, altered) in zip(exact, ways, strict=True):
        limit = TOLERANCES[cell.compute_dtype] * (1 + peak) + _largest(altered - plain)
        apart = tf.abs(plain - state)
        brink = tf.math.is_finite(plain) != tf.math.is_finite(altered)  # rounding decides there
        both_nan = tf.math.is_nan(plain) & tf.math.is_nan(state)
        settled = (plain == state) | both_nan | brink | ~spread(real, state)
        number = tf.math.is_finite(apart)
        nothing = tf.zeros_like(apart)
        errors.append(tf.reduce_max(tf.where(settled | ~number, nothing, apart)))
        excess = tf.where(number, apart / limit, float("inf"))
        excesses.append(tf.reduce_max(tf.where(settled, nothing, excess)))
    return tf.reduce_max(errors), tf.reduce_max(excesses)


def _largest(values: tf.Tensor) -> tf.Tensor:
    """Return the largest finite number of each row, ``(row, 1, ...)``."""
    finite = tf.where(tf.math.is_finite(values), tf.abs(values), tf.zeros_like(values))
    return tf.reduce_max(finite, range(1, len(finite.shape)), keepdims=True)
