"""One step after the other, the states kept by Keras's own stateful layers."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from bench.cases import Case
from bench.competitors.keras_stack import PACKAGES as PACKAGES
from bench.inputs import Inputs


def prepare(case: Case, inputs: Inputs) -> Callable[[], np.ndarray]:
    """Return a function that reads the sequences from their start."""
    last = len(case.units) - 1
    lstms = [
        keras.layers.LSTM(units, return_sequences=n < last, stateful=True)
        for n, units in enumerate(case.units)
    ]
    start = keras.Input(batch_shape=(case.batch, 1, case.features))
    model = keras.Sequential([start, *lstms, keras.layers.Dense(1)])
    model.set_weights(inputs.weights())

    def run() -> np.ndarray:
        for lstm in lstms:
            lstm.reset_state()
        for step in range(case.steps):
            outputs = model.predict_on_batch(inputs.x[:, step : step + 1])
        return outputs

    return run


def arrays(result: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs after the last step."""
    return {"outputs": result}
