"""GRU of Cho et al. (2014).

z, r = sigmoid(W x + U h + b)       g = tanh(W x + r * (U h) + b)   of 3 columns: z r g
h = z * h_before + (1 - z) * g      without reset_after U (r * h) in place of r * (U h)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_states.cells.kind import (
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


def _project(cell: keras.Layer, sequences: tf.Tensor) -> tf.Tensor:
    inputs = sequences @ weight(cell, "kernel")
    if not cell.use_bias:
        return inputs
    bias = weight(cell, "bias")
    return inputs + (bias[0] if cell.reset_after else bias)


def _step(cell: keras.Layer, inputs: tf.Tensor, before: Values, arise: Arise) -> Values:
    h = before["hidden"]
    kernel = weight(cell, "recurrent_kernel")
    xz, xr, xg = split(inputs, 3)
    if cell.reset_after:
        products = h @ kernel
        if cell.use_bias:
            products += weight(cell, "bias")[1]
        hz, hr, hg = split(products, 3)
    else:
        hz, hr = split(h @ kernel[:, : 2 * cell.units], 2)
    z = arise("update_gate", cell.recurrent_activation(xz + hz))
    r = arise("reset_gate", cell.recurrent_activation(xr + hr))
    hg = r * hg if cell.reset_after else (r * h) @ kernel[:, 2 * cell.units :]
    g = arise("candidate", cell.activation(xg + hg))
    h = arise("hidden", z * h + (1 - z) * g)
    return dict(zip(KIND.quantities, (h, z, r, g), strict=True))


def _written(now: Arrays) -> np.ndarray:
    return (1 - now["update_gate"]) * now["candidate"]


def _hidden(now: Arrays, before: Arrays, activation: Any) -> np.ndarray:
    return now["update_gate"] * before["hidden"] + _written(now)


KIND = CellKind(
    name="GRU",
    states=("hidden",),
    long_names={
        "hidden": HIDDEN,
        "update_gate": "update gate z, the share of the hidden state kept",
        "reset_gate": "reset gate r, the share of the hidden state the candidate sees",
        "candidate": "candidate g, what could be written",
    },
    keras_cell="keras.layers:GRUCell",
    activations=("activation", "recurrent_activation"),
    project=_project,
    step=_step,
    equations=(Equation("hidden", _hidden, looks_back=True, activates=False),),
    memory=Memory("hidden", "update_gate", _written),
)
