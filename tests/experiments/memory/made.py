"""Layers whose memory is known."""

import keras
import numpy as np

STEPS, FEATURES, UNITS = 24, 2, 4
X = np.random.default_rng(5).normal(size=(3, STEPS, FEATURES)).astype("float32")


def lstm(*, forget=1.0, write=0.0, recurrent=True, seed=0):
    """A model of one LSTM as Keras starts it, but for its forget and input bias.

    Without recurrent weights and with nothing but a bias in its forget gate, that gate is constant.
    """
    keras.utils.set_random_seed(seed)
    layer = keras.layers.LSTM(UNITS, name="lstm")
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), layer])
    kernel, carried, bias = (np.asarray(w).copy() for w in layer.get_weights())
    bias[:UNITS], bias[UNITS : 2 * UNITS] = write, forget
    if not recurrent:
        kernel[:, UNITS : 2 * UNITS] = 0
        carried[:] = 0
    layer.set_weights([kernel, carried, bias])
    return model


def gate(bias):
    return 1 / (1 + np.exp(-bias))
