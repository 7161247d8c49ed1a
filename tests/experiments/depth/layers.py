"""Recurrent layers whose memory is known."""

import keras
import tensorflow as tf


class Delays(keras.layers.Layer):
    """A cell that keeps the last ``units`` inputs of one feature, the present one first."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def call(self, inputs, states, training=False):
        line = tf.concat([inputs, states[0][:, :-1]], axis=-1)
        return line, [line]


class Products(Delays):
    """A cell that fades out the product of its first two inputs, in each of its units."""

    def call(self, inputs, states, training=False):
        product = inputs[:, :1] * inputs[:, 1:2]
        mean = 0.7 * states[0] + 0.3 * product
        return mean, [mean]


class Copies(Delays):
    """A cell that gives what it is given."""

    def call(self, inputs, states, training=False):
        return inputs, [inputs]


class Starts(Delays):
    """A cell that gives the first of its inputs."""

    def call(self, inputs, states, training=False):
        return inputs[:, : self.units], [inputs[:, : self.units]]


class Leaks(Delays):
    """A cell that adds its input to a share of its state."""

    def __init__(self, units, share):
        super().__init__(units)
        self.share = share

    def call(self, inputs, states, training=False):
        kept = self.share * states[0] + tf.cast(inputs, states[0].dtype)
        return kept, [kept]


def stack_of(features, *cells):
    """A stack of these cells, under no head."""
    layers = [keras.layers.RNN(cell, return_sequences=True) for cell in cells]
    return keras.Sequential([keras.Input((None, features)), *layers])
