"""The Keras model of a case, for all competitors that start from one."""

from __future__ import annotations

import keras

from bench.cases import Case
from bench.inputs import Inputs

PACKAGES = ("keras", "tensorflow", "numpy")


def build_model(
    case: Case, inputs: Inputs, *, any_length: bool = False, stateful: bool = False
) -> keras.Model:
    """Build the stack as the article does: masked if need be, one output from the last step.

    Args:
        case: The units, the mask and the shape of the input.
        inputs: Holds the weights.
        any_length: Whether it takes any number of steps.
        stateful: Whether the layers go on where they ended, step by step.
    """
    last = len(case.units) - 1
    masking = [] if case.mask == "none" else [keras.layers.Masking()]
    kind = getattr(keras.layers, case.kind)
    layers = [
        kind(units, return_sequences=n < last, stateful=stateful)
        for n, units in enumerate(case.units)
    ]
    if case.bidirectional:
        layers = [keras.layers.Bidirectional(layer) for layer in layers]
    steps = 1 if stateful else None if any_length else case.steps
    start = keras.Input(batch_shape=(case.batch if stateful else None, steps, case.features))
    model = keras.Sequential([start, *masking, *layers, keras.layers.Dense(1)])
    model.set_weights(inputs.weights())
    return model
