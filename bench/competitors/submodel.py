"""The layers rebuilt with ``return_sequences`` and ``return_state``: what Keras itself offers."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from bench.cases import Case
from bench.competitors.batches import each_batch
from bench.competitors.keras_stack import PACKAGES as PACKAGES
from bench.inputs import Inputs


def prepare(case: Case, inputs: Inputs) -> Callable[[], list[np.ndarray]]:
    """Return a function that predicts with the sub-model."""
    start = keras.Input((case.steps, case.features))
    h = start if case.mask == "none" else keras.layers.Masking()(start)
    states = []
    for units in case.units:
        layer = keras.layers.LSTM(units, return_sequences=True, return_state=True)
        h, last_h, last_c = layer(h)
        states += [h, last_h, last_c]
    outputs = keras.layers.Dense(1)(states[-2])
    model = keras.Model(start, [outputs, *states])
    model.set_weights(inputs.weights())
    return lambda: each_batch(model.predict_on_batch, inputs.x, case.batch)


def arrays(result: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return every h and the final h and c by layer number, and the outputs."""
    outputs, *states = result
    values = {"outputs": outputs}
    for n in range(len(states) // 3):
        names = (f"{n}/hidden", f"{n}/final_hidden", f"{n}/final_cell")
        values |= dict(zip(names, states[3 * n :], strict=False))
    return values
