"""keract, a package that reads the activations of Keras models."""

from __future__ import annotations

from collections.abc import Callable

import keract
import numpy as np

from bench.cases import Case
from bench.competitors.keras_stack import build_model
from bench.inputs import Inputs

PACKAGES = ("keract", "keras", "tensorflow", "numpy")


def prepare(case: Case, inputs: Inputs) -> Callable[[], dict[str, np.ndarray]]:
    """Return a function that reads all activations of the compiled model."""
    model = build_model(case, inputs)
    model.compile(loss="mse", optimizer="adam")
    return lambda: keract.get_activations(model, inputs.x)


def arrays(result: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return every h that a layer below the last gives, by layer number, and the outputs."""
    hidden = [values for name, values in result.items() if "lstm" in name and values.ndim == 3]
    outputs = list(result.values())[-1]
    return {"outputs": outputs, **{f"{n}/hidden": h for n, h in enumerate(hidden)}}
