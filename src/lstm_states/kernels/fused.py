"""The fused kernels: a whole sequence of an LSTM or a GRU at once, every quantity kept.

The kernels know neither masks nor starts per row; both are met outside them. A masked step leaves
the states alone, so a row's real steps can be moved to its front and run without a mask.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import keras
import tensorflow as tf

from lstm_states.cells import GRU, LSTM, CellKind
from lstm_states.cells.kind import weight
from lstm_states.kernels.cells import find_kind, kind_of
from lstm_states.kernels.gru import run_gru
from lstm_states.kernels.loops import Tensors
from lstm_states.kernels.lstm import run_lstm
from lstm_states.kernels.scan import CellRun
from lstm_states.kernels.slots import take_slots

_KERNELS: dict[CellKind, Callable[..., Tensors]] = {LSTM: run_lstm, GRU: run_gru}


def suits_kernel(cell: keras.Layer) -> bool:
    """Tell whether :func:`run_fused` computes exactly what ``cell`` does."""
    return (
        find_kind(cell) in _KERNELS
        and cell.compute_dtype == "float32"
        and cell.activation is keras.activations.tanh
        and cell.recurrent_activation is keras.activations.sigmoid
    )


def run_fused(
    cell: keras.Layer,
    sequences: tf.Tensor,
    states: Tensors,
    mask: tf.Tensor | None,
    *,
    gates: bool = True,
) -> CellRun:
    """Compute what :func:`lstm_states.kernels.scan.scan_cell` does, all steps in one operation.

    Gradients of any order reach the inputs, the states and the weights through every quantity.
    Going back is faster without ``gates``: the states are then all that is returned.
    """
    kind = kind_of(cell)
    names = kind.quantities if gates else kind.states
    if mask is None:
        return CellRun(_run(names, cell, sequences, states, tf.shape(sequences)[0]))
    count = tf.cumsum(tf.cast(mask, tf.int32))  # real steps up to and with each step
    by_row, steps = tf.transpose(count), tf.shape(count)[0]
    wanted = tf.broadcast_to(tf.range(1, steps + 1), tf.shape(by_row))
    order = tf.transpose(tf.searchsorted(by_row, wanted))  # where each real step is
    # Real steps come to the front, in their order; the kernel then stops at the longest row.
    moved = take_slots(sequences, tf.minimum(order, steps - 1))
    # Behind a row's real steps, zeros: a NaN of the padding would turn all gradients into NaN.
    moved = tf.where(order[..., tf.newaxis] < steps, moved, tf.zeros_like(moved))
    longest = tf.maximum(tf.reduce_max(count[-1]), 0)  # of no rows at all, the maximum is negative
    return CellRun(_run(names, cell, moved, states, longest), slots=count - 1)


def _run(
    names: tuple[str, ...],
    cell: keras.Layer,
    sequences: tf.Tensor,
    states: Tensors,
    steps: tf.Tensor,
) -> dict[str, tf.Tensor]:
    known, rows = sequences.shape[1], tf.shape(sequences)[1]
    if known is None:  # the part may be empty, and tf.vectorized_map multiplies no empty matrices
        lacking = tf.cast(rows == 0, tf.int32)
        sequences = tf.pad(sequences, [(0, 0), (0, lacking), (0, 0)])
        states = tuple(tf.pad(state, [(0, lacking), (0, 0)]) for state in states)
    arguments = (sequences, *states, *_weights(cell), steps)
    function = _traced(_KERNELS[kind_of(cell)], names, *(tuple(a.shape) for a in arguments))
    values = function(*arguments)
    if known is None:
        values = [
            tf.ensure_shape(tf.slice(value, [0, 0, 0], [-1, rows, -1]), value.shape)
            for value in values
        ]
    return dict(zip(names, values, strict=True))


def _weights(cell: keras.Layer) -> Tensors:
    """Return the kernel, the recurrent kernel, and the bias, which is zeros if there is none."""
    kernels = weight(cell, "kernel"), weight(cell, "recurrent_kernel")
    if cell.use_bias:
        return *kernels, weight(cell, "bias")
    rows = [2] if getattr(cell, "reset_after", False) else []  # as Keras makes that of a GRU
    return *kernels, tf.zeros([*rows, kernels[0].shape[1]])


@lru_cache(maxsize=256)
def _traced(
    kernel: Callable[..., Tensors], names: tuple[str, ...], *shapes: tuple[int | None, ...]
) -> Any:
    """Return a function of a kernel for arguments of these shapes.

    A tape looks at the names of operations only, and would take the gradients that TensorFlow
    registers. It can't look into a function, whose gradient is made from the operations' own.
    """
    return tf.function(partial(kernel, names), autograph=False)
