"""One step after the other, the states kept by this project."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.cases import Case
from bench.competitors.keras_stack import build_model
from bench.competitors.lstm_states import PACKAGES as PACKAGES
from bench.competitors.predict import arrays as arrays
from bench.inputs import Inputs
from lstm_states import StreamingSession


def prepare(case: Case, inputs: Inputs) -> Callable[[], np.ndarray]:
    """Return a function that reads the sequences from their start."""
    model = build_model(case, inputs, any_length=True)
    session = StreamingSession(model, samples=case.batch)

    def run() -> np.ndarray:
        session.reset()
        for step in range(case.steps):
            outputs = session.step(inputs.x[:, step])
        return outputs

    return run
