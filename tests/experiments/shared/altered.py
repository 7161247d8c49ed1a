"""Stacks that really do what the article wrongly says, or that break what it rightly says."""

import keras
import tensorflow as tf

from experiments.shared.stack import double_precision, randomise

UNITS = (6, 5)
STEPS = 12
FEATURES = 6


class PassesBoth(keras.layers.LSTMCell):
    """Hands its h and its c up."""

    @property
    def output_size(self):
        return 2 * self.units

    @output_size.setter
    def output_size(self, _):
        pass

    def call(self, inputs, states, training=False):
        h, states = super().call(inputs, states, training=training)
        return tf.concat([h, states[1]], axis=-1), states


class ForgetsCell(keras.layers.LSTMCell):
    """Resets its c at each step."""

    def call(self, inputs, states, training=False):
        return super().call(inputs, [states[0], tf.zeros_like(states[1])], training=training)


class ForgetsHidden(keras.layers.LSTMCell):
    """Resets its h at each step."""

    def call(self, inputs, states, training=False):
        return super().call(inputs, [tf.zeros_like(states[0]), states[1]], training=training)


class ForgetsBoth(keras.layers.LSTMCell):
    """Has no state of its own."""

    def call(self, inputs, states, training=False):
        return super().call(inputs, [tf.zeros_like(state) for state in states], training=training)


class GivesCell(keras.layers.LSTMCell):
    """Gives its c in place of its h."""

    def call(self, inputs, states, training=False):
        _, states = super().call(inputs, states, training=training)
        return states[1], states


class LooksAhead(keras.layers.LSTM):
    """Reads the sequence from its end: anti-causal."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        turned = tf.reverse(sequences, [1])
        outputs = super().call(turned, initial_state, mask, training)
        if self.return_state:
            return [tf.reverse(outputs[0], [1]), *outputs[1:]]
        return tf.reverse(outputs, [1])


class IgnoresMask(keras.layers.LSTM):
    """Runs over the padding."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        return super().call(sequences, initial_state, None, training)


def of_cells(cell, units):
    return keras.layers.RNN(cell(units), return_sequences=True)


def stock(units):
    return keras.layers.LSTM(units, return_sequences=True)


def stack(lower=stock, upper=stock, head=None):
    """A stack of two layers, in double precision and with random weights."""
    with double_precision():
        head = head or keras.layers.TimeDistributed(keras.layers.Dense(1))
        layers = [keras.Input((STEPS, FEATURES)), lower(UNITS[0]), upper(UNITS[1]), head]
        model = keras.Sequential(layers)
    randomise(model, seed=0)
    return model


def functional(connect):
    """A stack whose second layer is called by ``connect(x, lower, upper)``."""
    with double_precision():
        x = keras.Input((STEPS, FEATURES))
        upper = connect(x, keras.layers.LSTM(6, return_sequences=True, return_state=True),
                        keras.layers.LSTM(6, return_sequences=True))  # fmt: skip
        model = keras.Model(x, keras.layers.Dense(1)(upper))
    randomise(model, seed=0)
    return model


def starts_from_below(x, lower, upper):
    """The second layer starts from where the first one ended."""
    sequence, *states = lower(x)
    return upper(sequence, initial_state=states)


def skips_a_layer(x, lower, upper):
    """The second layer reads the input as well."""
    return upper(lower(x)[0] + x)


def gets_something_else(x, lower, upper):
    """The second layer reads half of what the first one gives."""
    return upper(0.5 * lower(x)[0])
