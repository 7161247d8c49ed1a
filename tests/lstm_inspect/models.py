"""Tiny models, one beside the other: one in a trap, and one that isn't."""

import keras
import numpy as np

from lstm_inspect.evidence import gather
from lstm_inspect.given import check_given
from tests.conftest import shake

L = keras.layers


def sequential(shape, *layers, batch=None, name="tiny"):
    """A Sequential with random weights."""
    keras.utils.set_random_seed(5)
    given = keras.Input(shape) if batch is None else keras.Input(batch_shape=(batch, *shape))
    model = keras.Sequential([given, *layers], name=name)
    return shake(model, np.random.default_rng(5))


def numbers(samples=8, steps=6, features=2):
    return np.random.default_rng(0).normal(size=(samples, steps, features)).astype("float32")


def padded(samples=8, steps=8, features=2):
    """Numbers, every second sample with three steps of padding at its end."""
    x = numbers(samples, steps, features)
    x[::2, -3:] = 0
    return x


def waves(samples, steps):
    """One smooth series, cut into samples in its order."""
    return np.sin(np.arange(samples * steps) / 9).reshape(samples, steps, 1).astype("float32")


def evidence(model, x, *, mask=None):
    return gather(check_given(model, x, mask=mask, labels=None, tokens=None))
