"""Keras's usual call, which returns the outputs alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.cases import Case
from bench.competitors.keras_stack import PACKAGES as PACKAGES
from bench.competitors.keras_stack import build_model
from bench.inputs import Inputs


def prepare(case: Case, inputs: Inputs) -> Callable[[], np.ndarray]:
    """Return a function that predicts."""
    model = build_model(case, inputs)
    return lambda: model.predict(inputs.x, batch_size=case.batch, verbose=0)


def arrays(result: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs."""
    return {"outputs": result}
