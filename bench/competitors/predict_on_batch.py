"""The outputs alone, by the Keras call with the least around it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.cases import Case
from bench.competitors.batches import each_batch
from bench.competitors.keras_stack import PACKAGES as PACKAGES
from bench.competitors.keras_stack import build_model
from bench.inputs import Inputs


def prepare(case: Case, inputs: Inputs) -> Callable[[], list[np.ndarray]]:
    """Return a function that predicts batch by batch."""
    model = build_model(case, inputs)
    return lambda: each_batch(lambda x: [model.predict_on_batch(x)], inputs.x, case.batch)


def arrays(result: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the outputs."""
    return {"outputs": result[0]}
