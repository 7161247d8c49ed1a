"""Run the cells of a recurrent layer as Keras runs them: masks, order of steps, stacked cells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend import AutocastScope

from lstm_states.cells.kind import Values
from lstm_states.kernels.cells import divide_states, kind_of
from lstm_states.kernels.edits import CellEdit, edit_inputs
from lstm_states.kernels.fused import run_fused, suits_kernel
from lstm_states.kernels.scan import CellRun, scan_cell
from lstm_states.kernels.slots import spread

ROWS_PER_PART = 8
"""Fewest samples for which a part of a batch is worth a thread of its own."""

MOST_PARTS = 16
"""Most parts that a batch is cut into, however many processors there are."""


class HiddenOutputError(ValueError):
    """A cell that shows something else than its first state can't go on from its states alone."""


@dataclass(frozen=True)
class LayerRun:
    """What a layer did with one batch, in the order in which it took the steps.

    ``parts`` holds for each cell its runs over the parts of the batch, which were computed side by
    side. ``outputs (batch, time, unit)`` is what the layer shows at each step, ``last (batch,
    unit)`` at the last one, ``final`` its states after it, nested as Keras nests them.
    ``added`` holds zeros that were added to the quantities where they arise, like ``parts``; it
    is empty unless the run is ``differentiable``. ``given (time, batch, feature)`` is what each
    cell was given, after its edits.
    """

    given: list[tf.Tensor]
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
    gates: bool = True,
    edits: Sequence[Sequence[CellEdit]] | None = None,
) -> LayerRun:
    """Run all cells of ``layer`` over ``sequences (batch, time, feature)`` of the input.

    Args:
        layer: A layer whose cells :func:`lstm_states.kernels.cells.find_kind` knows.
        sequences: What the layer was given, in the input's order of time.
        states: Its start, nested as Keras nests it, each ``(batch, unit)``.
        mask: Bool ``(batch, time)``, true where the step is real; None if all are.
        started: Bool ``(batch,)``, true where ``sequences`` go on with one that had a real step;
            None if they all begin here.
        differentiable: Whether gradients will be taken through the run, or by its quantities.
        gates: Whether the gates will be read; training is faster where they won't.
        edits: Of each cell what is done to its quantities, in the input's order of time; None if
            nothing is. A cell with edits takes its steps one by one, not in the fused operation.
    """
    steps = tf.transpose(sequences, (1, 0, *range(2, len(sequences.shape))))
    real = None if mask is None else tf.transpose(mask)
    if layer.go_backwards:
        steps, real = tf.reverse(steps, [0]), None if real is None else tf.reverse(real, [0])
    rows = _rows(steps)
    sizes = [part.stop - part.start for part in rows]
    cells = cells_of(layer)
    given, parts, added, final = [], [], [], []
    by_cell = [
        [edit.in_order(backwards=layer.go_backwards) for edit in own]
        for own in edits or [()] * len(cells)
    ]
    starts = divide_states(cells, states)
    for cell, start, own_edits in zip(cells, starts, by_cell, strict=True):
        steps = edit_inputs(steps, real, own_edits)
        given.append(steps)
        quantities = kind_of(cell).quantities
        runs, zeros = [], []
        # Not slices: the gradient of each would be as large as the whole, and mostly zeros.
        for part, own in zip(rows, tf.split(steps, sizes, axis=1), strict=True):
            own_real = None if real is None else real[:, part]
            own_start = tuple(s[part] for s in start)
            zeros.append(_zeros(cell, own, own_start[0]) if differentiable else {})
            changes = [edit.rows(part) for edit in own_edits if edit.quantity in quantities]
            runs.append(_run_cell(cell, own, own_start, own_real, zeros[-1], changes, gates))
        steps = _shown(runs, rows, start[0], started)
        for name, state in zip(kind_of(cell).states, start, strict=True):
            ends = [run.final(name, state[part]) for run, part in zip(runs, rows, strict=True)]
            final.append(tf.concat(ends, 0))
        parts.append(runs)
        added.append(zeros)
    if real is not None and layer.zero_output_for_mask:
        shown = spread(steps_shown(layer, real), steps)
        steps = tf.where(shown, steps, tf.zeros_like(steps))
    outputs = tf.transpose(steps, (1, 0, *range(2, len(steps.shape))))
    final = keras.tree.pack_sequence_as(states, final)
    return LayerRun(given, parts, outputs, steps[-1], final, added)


def _shown(
    runs: list[CellRun], rows: list[slice], start: tf.Tensor, started: tf.Tensor | None
) -> tf.Tensor:
    """Return what a cell shows at each step, ``(time, batch, unit)``."""
    if "output" in runs[0].values:
        if started is not None:
            raise HiddenOutputError(
                "its cell's output is not its first state, so its last output is unknown when a "
                "sequence is read in pieces"
            )
        shown = [run.steps("output", tf.zeros_like(run.values["output"][0])) for run in runs]
        return tf.concat(shown, 1)
    before = _shown_before(start, started)
    shown = [r.steps("hidden", before[part]) for r, part in zip(runs, rows, strict=True)]
    return tf.concat(shown, 1)


def _run_cell(
    cell: keras.Layer,
    steps: tf.Tensor,
    states: tuple[tf.Tensor, ...],
    real: tf.Tensor | None,
    added: Values,
    edits: Sequence[CellEdit],
    gates: bool,
) -> CellRun:
    # A kernel's gradient is right within a function only, and such a switch leaves no functions.
    fused = suits_kernel(cell) and not added and not edits
    fused = fused and not tf.config.functions_run_eagerly()
    # Keras reads a cell's weights in the precision of the cell, which need not be the layer's.
    with AutocastScope(cell.compute_dtype):
        if fused:
            steps = tf.cast(steps, cell.compute_dtype)
            return run_fused(cell, steps, states, real, gates=gates)
        return scan_cell(cell, steps, states, real, added, edits)


def _zeros(cell: keras.Layer, steps: tf.Tensor, state: tf.Tensor) -> Values:
    """Zeros ``(time, batch, unit)``, like ``state`` behind the batch, for each quantity."""
    size = [steps.shape[axis] or tf.shape(steps)[axis] for axis in (0, 1)]
    shape = [*size, *state.shape[1:]]
    return {name: tf.zeros(shape, cell.compute_dtype) for name in kind_of(cell).quantities}


def _shown_before(start: tf.Tensor, started: tf.Tensor | None) -> tf.Tensor:
    """Keras shows zeros, not the start, until the first real step of a sequence."""
    nothing = tf.zeros_like(start)
    return nothing if started is None else tf.where(spread(started, start), start, nothing)


def _rows(steps: tf.Tensor) -> list[slice]:
    """Cut the batch into parts, which TensorFlow runs on threads of their own."""
    threads = tf.config.threading.get_inter_op_parallelism_threads() or os.cpu_count() or 1
    # One step takes no time, and a convolution takes all threads itself, but no part that is empty.
    whole = steps.shape[0] == 1 or len(steps.shape) > 3
    number = 1 if whole else min(threads, MOST_PARTS)
    if steps.shape[1] is None:  # parts of a small batch are empty
        size = tf.shape(steps)[1]
        each = tf.maximum(-(-size // number), ROWS_PER_PART)
        ends = [tf.minimum(each * k, size) for k in range(number + 1)]
        return list(map(slice, ends, ends[1:]))
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
