"""A fast LSTM kernel that keeps every quantity: TensorFlow's fused ``BlockLSTMV2``.

The op knows neither masks nor starts per row; both are met outside it. A masked step leaves the
states alone, so a row's real steps can be moved to its front and run without a mask.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from lstm_states.kernels.cells import CellRun, Values, take_slots, weight
from lstm_states.schema import QUANTITIES


def suits_block(cell: keras.Layer) -> bool:
    """Tell whether :func:`block_lstm` computes exactly what ``cell`` does."""
    return (
        isinstance(cell, keras.layers.LSTMCell)
        and cell.compute_dtype == "float32"
        and cell.activation is keras.activations.tanh
        and cell.recurrent_activation is keras.activations.sigmoid
    )


def block_lstm(
    cell: keras.layers.LSTMCell,
    sequences: tf.Tensor,
    states: tuple[tf.Tensor, ...],
    mask: tf.Tensor | None,
) -> CellRun:
    """Compute what :func:`lstm_states.kernels.cells.scan_cell` does, in one op for all steps."""
    if mask is None:
        return CellRun(_block(cell, sequences, states, tf.shape(sequences)[0]))
    count = tf.cumsum(tf.cast(mask, tf.int32))  # real steps up to and with each step
    by_row, steps = tf.transpose(count), tf.shape(count)[0]
    wanted = tf.broadcast_to(tf.range(1, steps + 1), tf.shape(by_row))
    order = tf.transpose(tf.searchsorted(by_row, wanted))  # where each real step is
    moved = take_slots(sequences, tf.minimum(order, steps - 1))
    return CellRun(_block(cell, moved, states, tf.reduce_max(count[-1])), slots=count - 1)


def _block(
    cell: keras.layers.LSTMCell,
    sequences: tf.Tensor,
    states: tuple[tf.Tensor, ...],
    steps: tf.Tensor,
) -> Values:
    kernel = tf.concat([weight(cell, "kernel"), weight(cell, "recurrent_kernel")], axis=0)
    bias = weight(cell, "bias") if cell.use_bias else tf.zeros(4 * cell.units)
    peephole = tf.zeros(cell.units)  # unused
    i, c, f, o, g, _, h = tf.raw_ops.BlockLSTMV2(
        seq_len_max=tf.cast(steps, tf.int64),
        x=sequences,
        cs_prev=states[1],
        h_prev=states[0],
        w=kernel,
        wci=peephole,
        wcf=peephole,
        wco=peephole,
        b=bias,
        use_peephole=False,
        cell_clip=0.0,
    )
    return dict(zip(QUANTITIES, (h, c, i, f, g, o), strict=True))
