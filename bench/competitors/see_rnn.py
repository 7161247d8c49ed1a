"""see-rnn, a package that reads and draws the activations of recurrent Keras models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Not from see_rnn itself, which hides why its own modules fail to import.
from see_rnn.inspect_gen import get_outputs

from bench.cases import Case
from bench.competitors.keras_stack import build_model
from bench.inputs import Inputs

PACKAGES = ("see-rnn", "keras", "tensorflow", "numpy")


def prepare(case: Case, inputs: Inputs) -> Callable[[], list[np.ndarray]]:
    """Return a function that reads the outputs of all layers."""
    model = build_model(case, inputs)
    names = [layer.name for layer in model.layers if "masking" not in layer.name]
    return lambda: get_outputs(model, names, inputs.x)


def arrays(result: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return every h that a layer below the last gives, by layer number, and the outputs."""
    *layers, outputs = result
    hidden = [values for values in layers if values.ndim == 3]
    return {"outputs": outputs, **{f"{n}/hidden": h for n, h in enumerate(hidden)}}
