"""Run the cells of a recurrent layer as Keras runs them: masks, order of steps, stacked cells."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from lstm_states.kernels.block import block_lstm, suits_block
from lstm_states.kernels.cells import (
    CellRun,
    Values,
    cell_kind,
    divide_states,
    scan_cell,
    state_names,
)
from lstm_states.schema import CELL_QUANTITIES

ROWS_PER_PART = 8
"""Fewest samples for which a part of a batch is worth a thread of its own."""

MOST_PARTS = 16
"""Most parts that a batch is cut into, however many processors there are."""


@dataclass(frozen=True)
class LayerRun:
    """What a layer did with one batch, in the order in which it took the steps.

    ``parts`` holds for each cell its runs over the parts of the batch, which were computed side by
    side. ``outputs (batch, time, unit)`` is what the layer shows at each step, ``last (batch,
    unit)`` at the last one, ``final`` its states after it, nested as Keras nests them.
    ``added`` holds zeros that were added to the quantities where they arise, like ``parts``; it
    is empty unless the run is ``differentiable``.
    """

    parts: list[list[CellRun]]
    outputs: tf.Tensor
    last: tf.Tensor
    final: Any
    added: list[list[Values]]


def cells_of(layer: keras.layers.RNN) -> list[keras.Layer]:
    """Return the cells of ``layer`` from the bottom up."""
    stacked = isinstance(layer.cell, keras.layers.StackedRNNCells)
    return list(layer.cell.cells) if stacked else [layer.cell]


def run_layer(
    layer: keras.layers.RNN,
    sequences: tf.Tensor,
    states: Any,
    mask: tf.Tensor | None,
    started: tf.Tensor | None = None,
    *,
    differentiable: bool = False,
) -> LayerRun:
    """Run all cells of ``layer`` over ``sequences (batch, time, feature)`` of the input.

    Args:
        layer: A layer whose cells :func:`lstm_states.kernels.cells.cell_kind` knows.
        sequences: What the layer was given, in the input's order of time.
        states: Its start, nested as Keras nests it, each ``(batch, unit)``.
        mask: Bool ``(batch, time)``, true where the step is real; None if all are.
        started: Bool ``(batch,)``, true where ``sequences`` go on with one that had a real step;
            None if they all begin here.
        differentiable: Whether gradients will be taken through the run, or by its quantities.
    """
    steps = tf.transpose(sequences, (1, 0, 2))
    real = None if mask is None else tf.transpose(mask)
    if layer.go_backwards:
        steps = tf.reverse(steps, [0])
        real = None if real is None else tf.reverse(real, [0])
    rows = _rows(steps)
    cells = cells_of(layer)
    parts, added, final = [], [], []
    for cell, start in zip(cells, divide_states(cells, states), strict=True):
        runs, zeros = [], []
        for part in rows:
            own = steps[:, part]
            zeros.append(_zeros(cell, own) if differentiable else {})
            own_real = None if real is None else real[:, part]
            runs.append(_run_cell(cell, own, tuple(s[part] for s in start), own_real, zeros[-1]))
        before = _shown_before(start[0], started)
        steps = tf.concat(
            [run.steps("hidden", before[part]) for run, part in zip(runs, rows, strict=True)], 1
        )
        for name, state in zip(state_names(cell), start, strict=True):
            ends = [run.final(name, state[part]) for run, part in zip(runs, rows, strict=True)]
            final.append(tf.concat(ends, 0))
        parts.append(runs)
        added.append(zeros)
    if real is not None and layer.zero_output_for_mask:
        shown = steps_shown(layer, real)[..., tf.newaxis]
        steps = tf.where(shown, steps, tf.zeros_like(steps))
    outputs = tf.transpose(steps, (1, 0, 2))
    return LayerRun(parts, outputs, steps[-1], keras.tree.pack_sequence_as(states, final), added)


def _run_cell(
    cell: keras.Layer,
    steps: tf.Tensor,
    states: tuple[tf.Tensor, ...],
    real: tf.Tensor | None,
    added: Values,
) -> CellRun:
    if added:
        return scan_cell(cell, steps, states, real, added)
    kernel = block_lstm if suits_block(cell) else scan_cell
    return kernel(cell, steps, states, real)


def _zeros(cell: keras.Layer, steps: tf.Tensor) -> Values:
    """Zeros ``(time, batch, unit)`` for each quantity of ``cell``."""
    size = [steps.shape[axis] or tf.shape(steps)[axis] for axis in (0, 1)]
    names = CELL_QUANTITIES[str(cell_kind(cell))]
    return {name: tf.zeros([*size, cell.units], cell.compute_dtype) for name in names}


def _shown_before(start: tf.Tensor, started: tf.Tensor | None) -> tf.Tensor:
    """Keras shows zeros, not the start, until the first real step of a sequence."""
    nothing = tf.zeros_like(start)
    return nothing if started is None else tf.where(started[:, tf.newaxis], start, nothing)


def _rows(steps: tf.Tensor) -> list[slice]:
    """Cut the batch into parts, which TensorFlow runs on threads of their own."""
    threads = tf.config.threading.get_inter_op_parallelism_threads() or os.cpu_count() or 1
    number = min(threads, MOST_PARTS)
    if steps.shape[1] is None:  # parts of a small batch are empty
        size = tf.shape(steps)[1]
        each = tf.maximum(-(-size // number), ROWS_PER_PART)
        return [slice(tf.minimum(each * k, size), each * (k + 1)) for k in range(number)]
    size = steps.shape[1]
    number = max(1, min(number, size // ROWS_PER_PART))
    return [slice(size * k // number, size * (k + 1) // number) for k in range(number)]


def steps_shown(layer: keras.layers.RNN, real: tf.Tensor) -> tf.Tensor:
    """Tell at which steps a layer with ``zero_output_for_mask`` shows its state, and not zeros.

    Unrolling a layer that goes backwards, Keras doesn't turn the mask around for that: what it
    does is what a trace must hold.

    Args:
        layer: The layer, returning sequences or not.
        real: Its mask ``(time, batch)`` in the order in which the steps are taken.
    """
    unturned = layer.unroll and layer.go_backwards and layer.return_sequences
    return tf.reverse(real, [0]) if unturned else real
