"""A dense head on every step: by itself, or in `TimeDistributed`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from experiments.cost.costs import make_costs
from experiments.cost.timing import time_in_turns
from experiments.shared.stack import distance

UNITS = 32
"""Width of the h that the head is given."""


def measure_wrapping(steps: int, *, batch_size: int, rounds: int) -> xr.Dataset:
    """Apply one head of the same weights in both ways, to predict and to get gradients.

    Args:
        steps: Steps of the h that it is given.
        batch_size: Sequences side by side.
        rounds: Turns of each way.

    Returns:
        As :func:`make_costs`: the milliseconds of a call of the compiled function, and the
        operations in it.
    """
    rng = np.random.default_rng(0)
    hidden = tf.constant(rng.normal(size=(batch_size, steps, UNITS)).astype(np.float32))
    keras.utils.set_random_seed(0)
    head = keras.layers.Dense(1)
    heads = {"wrapped": keras.layers.TimeDistributed(head), "bare": head}
    models = {
        way: keras.Sequential([keras.Input((steps, UNITS)), layer]) for way, layer in heads.items()
    }
    taken, counted, apart = {}, {}, []
    for case, work in (("prediction", _predict), ("gradients", _gradients)):
        compiled = [_compiled(work, model, hidden) for model in models.values()]
        ways = {way: partial(run, hidden) for way, run in zip(models, compiled, strict=True)}
        apart.append(max(map(distance, *(run() for run in ways.values()))))
        counted[case] = [len(run.graph.get_operations()) for run in compiled]
        taken[case] = time_in_turns(ways, rounds=rounds)
    return make_costs(taken, counted, apart=apart, counts="Operations in the function", unit="1")


def _compiled(
    work: Callable[..., list[tf.Tensor]], model: keras.Model, hidden: tf.Tensor
) -> tf.types.experimental.ConcreteFunction:
    return tf.function(partial(work, model)).get_concrete_function(hidden)


def _predict(model: keras.Model, hidden: tf.Tensor) -> list[tf.Tensor]:
    return [model(hidden)]


def _gradients(model: keras.Model, hidden: tf.Tensor) -> list[tf.Tensor]:
    """Return the gradients of the mean square of the outputs by h and by the weights."""
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        loss = tf.reduce_mean(tf.square(model(hidden)))
    return tape.gradient(loss, [hidden, *model.trainable_variables])
