"""One step after the other, the states kept by Keras's own stateful layers."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from bench.cases import Case
from bench.competitors.keras_stack import PACKAGES as PACKAGES
from bench.competitors.keras_stack import build_model
from bench.competitors.predict import arrays as arrays
from bench.inputs import Inputs


def prepare(case: Case, inputs: Inputs) -> Callable[[], np.ndarray]:
    """Return a function that reads the sequences from their start."""
    model = build_model(case, inputs, stateful=True)
    recurrent = [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]

    def run() -> np.ndarray:
        for layer in recurrent:
            layer.reset_state()
        for step in range(case.steps):
            outputs = model.predict_on_batch(inputs.x[:, step : step + 1])
        return outputs

    return run
