"""ConvLSTM of Shi et al. (2015), an LSTM whose products are convolutions: its states, no gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lstm_states.cells.kind import CELL, HIDDEN, CellKind

if TYPE_CHECKING:
    import keras

SPACE = ("depth", "height", "width")
"""The axes of space, as TensorFlow orders them; a convolution of rank n has the last n of them."""


def _state_dims(cell: keras.Layer) -> tuple[str, ...]:
    space = SPACE[-cell.rank :]
    return ("unit", *space) if cell.data_format == "channels_first" else (*space, "unit")


# Keras's own cell takes the steps: it has no name for the values of its gates.
KIND = CellKind(
    name="ConvLSTM",
    states=("hidden", "cell"),
    long_names={"hidden": HIDDEN, "cell": CELL},
    keras_cell="keras.src.layers.rnn.conv_lstm:ConvLSTMCell",
    activations=("activation", "recurrent_activation"),
    state_dims=_state_dims,
)
