"""Padded sequences and masked stacks, some of which lose the mask on purpose."""

import keras
import numpy as np

from experiments.shared.stack import double_precision, randomise
from tests.experiments.shared import altered

LENGTHS = np.array([12, 7, 9])
X = np.random.default_rng(4).normal(size=(3, altered.STEPS, altered.FEATURES))
X[np.arange(altered.STEPS) >= LENGTHS[:, np.newaxis]] = 0


def masked(*layers):
    """A stack over any number of steps, in double precision."""
    with double_precision():
        made = [make() for make in layers]
        model = keras.Sequential([keras.Input((None, altered.FEATURES)), *made])
    randomise(model, seed=0)
    return model


def lstm(units=5, kind=keras.layers.LSTM):
    return lambda: kind(units, return_sequences=True)


def stock():
    """By name, a stack that hands its mask all the way up."""
    return {"stock": masked(keras.layers.Masking, lstm(), lstm())}


def blind(*, layer):
    """By name, the same with one layer that runs over the padding."""
    kinds = [altered.IgnoresMask if at == layer else keras.layers.LSTM for at in (1, 2)]
    return {"altered": masked(keras.layers.Masking, *(lstm(kind=kind) for kind in kinds))}


def bare():
    """By name, the same without a mask."""
    return {"altered": masked(lstm(), lstm())}
