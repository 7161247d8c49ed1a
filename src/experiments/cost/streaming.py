"""A prediction for each new step: from kept states, or by recomputing all steps up to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from experiments.cost.costs import make_costs
from experiments.cost.timing import time_in_turns
from experiments.shared.stack import distance
from lstm_states.acceleration import accelerate

UNITS = (64, 32)
FEATURES = 8


def measure_streaming(
    windows: Sequence[int], *, rounds: int, accelerated: bool = False
) -> xr.Dataset:
    """Predict the last step of a window by one compiled function, in two ways.

    It is given all steps and zero states, or the last step and the states before it: what differs
    is nothing but how many steps there are to compute.

    Args:
        windows: Numbers of steps, a case each.
        rounds: Turns of each way.
        accelerated: Whether the layers run on the fused kernel of :func:`lstm_states.accelerate`.

    Returns:
        As :func:`make_costs`: the milliseconds of a call, and the steps that it computes.
    """
    model = _stack_with_states(accelerated)
    predict = tf.function(
        lambda *given: model(list(given)),
        input_signature=[tf.TensorSpec((1, None, FEATURES)), *map(tf.TensorSpec, _sizes())],
    )
    zeros = [tf.zeros(size) for size in _sizes()]
    taken, apart = {}, []
    for steps in windows:
        rng = np.random.default_rng(0)
        x = tf.constant(rng.normal(size=(1, steps, FEATURES)).astype(np.float32))
        # Of a window of one step nothing is behind it.
        kept = predict(x[:, :-1], *zeros)[1:] if steps > 1 else zeros
        ways = {
            "recomputed": partial(predict, x, *zeros),
            "from kept states": partial(predict, x[:, -1:], *kept),
        }
        whole, step = (run()[0] for run in ways.values())
        apart.append(distance(whole, step))
        taken[f"{steps} steps"] = time_in_turns(ways, rounds=rounds)
    return make_costs(
        taken,
        {f"{steps} steps": [steps, 1] for steps in windows},
        apart=apart,
        counts="Steps computed for one prediction",
        unit="1",
    )


def _sizes() -> list[tuple[int, int]]:
    """Return the shapes of h and c of all layers, for one sequence."""
    return [(1, units) for units in UNITS for _ in ("h", "c")]


def _stack_with_states(accelerated: bool) -> keras.Model:
    """Build a stack from a sequence and states to its prediction and the states after it."""
    keras.utils.set_random_seed(0)
    tensor = given = keras.Input((None, FEATURES))
    starts = [keras.Input((units,)) for _, units in _sizes()]
    ends: list[keras.KerasTensor] = []
    for depth, units in enumerate(UNITS):
        layer = keras.layers.LSTM(units, return_sequences=True, return_state=True)
        tensor, *states = layer(tensor, initial_state=starts[2 * depth : 2 * depth + 2])
        ends += states
    model = keras.Model([given, *starts], [keras.layers.Dense(1)(ends[-2]), *ends])
    if accelerated:
        accelerate(model)
    return model
