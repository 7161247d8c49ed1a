"""The simple recurrent network of Elman (1990): h = tanh(W x + U h + b)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lstm_states.cells.kind import HIDDEN, Arise, CellKind, Values, weight

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def _project(cell: keras.Layer, sequences: tf.Tensor) -> tf.Tensor:
    inputs = sequences @ weight(cell, "kernel")
    return inputs + weight(cell, "bias") if cell.use_bias else inputs


def _step(cell: keras.Layer, inputs: tf.Tensor, before: Values, arise: Arise) -> Values:
    z = inputs + before["hidden"] @ weight(cell, "recurrent_kernel")
    return {"hidden": arise("hidden", cell.activation(z))}


# It has no gates: a trace holds nothing of which its state could be computed again.
KIND = CellKind(
    name="SimpleRNN",
    states=("hidden",),
    long_names={"hidden": HIDDEN},
    keras_cell="keras.layers:SimpleRNNCell",
    activations=("activation",),
    project=_project,
    step=_step,
)
