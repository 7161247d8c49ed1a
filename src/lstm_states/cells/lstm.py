"""LSTM of Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).

i, f, o = sigmoid(W x + U h + b)    g = tanh(W x + U h + b)    of 4 columns: i f g o
c = f * c_before + i * g            h = o * tanh(c)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_states.cells.kind import (
    CELL,
    HIDDEN,
    Arise,
    Arrays,
    CellKind,
    Equation,
    Memory,
    Values,
    split,
    weight,
)

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

GATES = ("input_gate", "forget_gate", "candidate", "output_gate")
"""The four gates of an LSTM in the order of the columns of Keras's kernels."""

SIGMOID_GATES = ("input_gate", "forget_gate", "output_gate")
"""Those that open and close: from 0 to 1."""


def _project(cell: keras.Layer, sequences: tf.Tensor) -> tf.Tensor:
    inputs = sequences @ weight(cell, "kernel")
    return inputs + weight(cell, "bias") if _bias_first(cell) else inputs


def _step(cell: keras.Layer, inputs: tf.Tensor, before: Values, arise: Arise) -> Values:
    z = inputs + before["hidden"] @ weight(cell, "recurrent_kernel")
    if cell.use_bias and not _bias_first(cell):
        z += weight(cell, "bias")
    zi, zf, zg, zo = split(z, 4)
    i = arise("input_gate", cell.recurrent_activation(zi))
    f = arise("forget_gate", cell.recurrent_activation(zf))
    g = arise("candidate", cell.activation(zg))
    o = arise("output_gate", cell.recurrent_activation(zo))
    c = arise("cell", f * before["cell"] + i * g)
    h = arise("hidden", o * cell.activation(c))
    return dict(zip(KIND.quantities, (h, c, i, f, g, o), strict=True))


def _bias_first(cell: keras.Layer) -> bool:
    return cell.use_bias and cell.implementation == 1


def _written(now: Arrays) -> np.ndarray:
    return now["input_gate"] * now["candidate"]


def _cell(now: Arrays, before: Arrays, activation: Any) -> np.ndarray:
    return now["forget_gate"] * before["cell"] + _written(now)


def _hidden(now: Arrays, before: Arrays, activation: Any) -> np.ndarray:
    return now["output_gate"] * activation(now["cell"])


KIND = CellKind(
    name="LSTM",
    states=("hidden", "cell"),
    long_names={
        "hidden": HIDDEN,
        "cell": CELL,
        "input_gate": "input gate i, the share of the candidate written",
        "forget_gate": "forget gate f, the share of the cell state kept",
        "candidate": "candidate g, what could be written",
        "output_gate": "output gate o, the share of the cell state shown",
    },
    keras_cell="keras.layers:LSTMCell",
    activations=("activation", "recurrent_activation"),
    project=_project,
    step=_step,
    equations=(
        Equation("cell", _cell, looks_back=True, activates=False),
        Equation("hidden", _hidden, looks_back=False, activates=True),
    ),
    memory=Memory("cell", "forget_gate", _written),
)
