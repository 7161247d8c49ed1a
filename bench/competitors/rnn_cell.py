"""Every layer rebuilt as ``keras.layers.RNN`` over a cell that emits all six quantities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from bench.cases import Case
from bench.competitors.batches import each_batch
from bench.competitors.keras_stack import PACKAGES as PACKAGES
from bench.inputs import QUANTITIES, Inputs


class RecordingCell(keras.layers.LSTMCell):
    """An LSTM cell whose output is its six quantities side by side."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(units, **options)
        self.output_size = len(QUANTITIES) * units

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        """Take one step: inputs ``(batch, feature)``, states h and c ``(batch, unit)``."""
        h, c = states
        z = ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent_kernel) + self.bias
        zi, zf, zg, zo = ops.split(z, 4, axis=-1)
        i, f, g, o = ops.sigmoid(zi), ops.sigmoid(zf), ops.tanh(zg), ops.sigmoid(zo)
        c = f * c + i * g
        h = o * ops.tanh(c)
        return ops.concatenate([h, c, i, f, g, o], axis=-1), [h, c]


def prepare(case: Case, inputs: Inputs) -> Callable[[], list[np.ndarray]]:
    """Return a function that predicts with the rebuilt model."""
    start = keras.Input((case.steps, case.features))
    mask = None if case.mask == "none" else ops.any(ops.not_equal(start, 0.0), axis=-1)
    h, records = start, []
    for units in case.units:
        records.append(keras.layers.RNN(RecordingCell(units), return_sequences=True)(h, mask=mask))
        h = records[-1][..., :units]
    model = keras.Model(start, [keras.layers.Dense(1)(h[:, -1]), *records])
    model.set_weights(inputs.weights())
    return lambda: each_batch(model.predict_on_batch, inputs.x, case.batch)


def arrays(result: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return all quantities by layer number, and the outputs."""
    outputs, *records = result
    values = {"outputs": outputs}
    for n, record in enumerate(records):
        parts = np.split(record, len(QUANTITIES), axis=-1)
        values |= {f"{n}/{name}": part for name, part in zip(QUANTITIES, parts, strict=True)}
    return values
