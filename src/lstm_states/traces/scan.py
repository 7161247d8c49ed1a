"""The LSTM equations over a sequence, with every state and gate kept.

Source: Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000), in the form
and column order (i, f, g, o) of ``keras.layers.LSTMCell``.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from lstm_states.schema import QUANTITIES


def scan_lstm(
    cell: keras.layers.LSTMCell,
    sequences: tf.Tensor,
    initial_state: tuple[tf.Tensor, tf.Tensor],
    mask: tf.Tensor,
    *,
    go_backwards: bool,
) -> dict[str, tf.Tensor]:
    """Run ``cell`` over ``sequences`` and keep every quantity of every step.

    Args:
        cell: The layer's own cell, of U units; its weights and activations are used.
        sequences: Inputs ``(batch, time, feature)``.
        initial_state: The hidden and the cell state to start from, each ``(batch, U)``.
        mask: Bool ``(batch, time)``, true where the step is real.
        go_backwards: Whether the steps are taken from the last to the first.

    Returns:
        Each quantity of :data:`lstm_states.schema.QUANTITIES` as ``(batch, time, U)``, ``time``
        being the index of the input. Masked steps repeat the states they carry; their gates are
        NaN, since no gate ran.
    """
    inputs = sequences @ cell.kernel
    if cell.use_bias:
        inputs += cell.bias
    steps = (tf.transpose(inputs, (1, 0, 2)), tf.transpose(mask)[..., tf.newaxis])
    no_gates = [tf.zeros_like(initial_state[1])] * 4
    history = tf.scan(
        lambda previous, step: _step(cell, previous, *step),
        steps,
        (*initial_state, *no_gates),
        reverse=go_backwards,
    )
    return {
        name: tf.transpose(values, (1, 0, 2))
        for name, values in zip(QUANTITIES, history, strict=True)
    }


def _step(
    cell: keras.layers.LSTMCell,
    previous: tuple[tf.Tensor, ...],
    inputs: tf.Tensor,
    real: tf.Tensor,
) -> tuple[tf.Tensor, ...]:
    h, c = previous[:2]
    zi, zf, zg, zo = tf.split(inputs + h @ cell.recurrent_kernel, 4, axis=-1)
    i, f, o = (cell.recurrent_activation(z) for z in (zi, zf, zo))
    g = cell.activation(zg)
    c_next = f * c + i * g
    h_next = o * cell.activation(c_next)
    gates = (tf.where(real, gate, float("nan")) for gate in (i, f, g, o))
    return (tf.where(real, h_next, h), tf.where(real, c_next, c), *gates)
