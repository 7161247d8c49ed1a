"""A prediction alone, or with every state of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import keras
import numpy as np
import xarray as xr

from experiments.cost.costs import make_costs
from experiments.cost.timing import time_in_turns
from experiments.shared.models import build_stacked
from experiments.shared.stack import distance, recurrent

FEATURES = 8


def measure_returning(windows: Sequence[int], *, batch_size: int, rounds: int) -> xr.Dataset:
    """Predict with a stack that also returns every h and the final states, and without them.

    Args:
        windows: Steps of the sequences, a case each.
        batch_size: Sequences side by side.
        rounds: Turns of each way.

    Returns:
        As :func:`make_costs`: the milliseconds of a call, and the numbers that it returns.
    """
    taken, counted, apart = {}, {}, []
    for steps in windows:
        case = f"{steps} steps"
        x = _random(batch_size, steps, FEATURES)
        keras.utils.set_random_seed(0)
        plain = build_stacked(steps, FEATURES)
        telling = returning_states(plain)
        ways = {
            "states returned": partial(telling.predict_on_batch, x),
            "prediction alone": partial(plain.predict_on_batch, x),
        }
        given = [keras.tree.flatten(run()) for run in ways.values()]
        apart.append(distance(given[0][0], given[1][0]))
        counted[case] = [sum(array.size for array in arrays) for arrays in given]
        taken[case] = time_in_turns(ways, rounds=rounds)
    return make_costs(taken, counted, apart=apart, counts="Numbers returned", unit="1")


def returning_states(model: keras.Model) -> keras.Model:
    """Copy a stack to one that also gives, of each layer, every h and the last h and c."""
    layers = recurrent(model)
    copies = [_telling(layer) for layer in layers]
    tensor = model.inputs[0]
    given = []
    for copy in copies:
        tensor, *states = copy(tensor)
        given += [tensor, *states]
    for copy, layer in zip(copies, layers, strict=True):
        copy.set_weights(layer.get_weights())
    return keras.Model(model.inputs, [model.layers[-1](given[-2]), *given])


def _telling(layer: keras.layers.RNN) -> keras.layers.RNN:
    config = {**layer.get_config(), "return_sequences": True, "return_state": True}
    return type(layer).from_config(config)


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)
