"""Layers that carry their states otherwise than Keras's do."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tests")
class SaysSo(keras.layers.LSTM):
    """Says that it is stateful, but starts from zeros and keeps nothing."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        self.stateful, said = False, self.stateful
        outputs = super().call(sequences, initial_state, mask, training)
        self.stateful = said
        return outputs


@keras.saving.register_keras_serializable("tests")
class IgnoresStart(keras.layers.LSTM):
    """Goes on from what it has stored, whatever it is told to start from."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        return super().call(sequences, self.states if self.stateful else None, mask, training)


@keras.saving.register_keras_serializable("tests")
class Unbroken(keras.layers.LSTM):
    """Keeps the tensors of its last states, and with them the way of the gradient."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        start = getattr(self, "_tensors", None)
        again, self.return_state = self.return_state, True
        outputs = super().call(sequences, start if initial_state is None else initial_state)
        self.return_state = again
        if tf.executing_eagerly() and self.stateful:
            self._tensors = [tf.identity(state) for state in outputs[1:]]
        return outputs if again else outputs[0]


@keras.saving.register_keras_serializable("tests")
class Saves(keras.layers.LSTM):
    """Has its states in the file of the model."""

    def save_own_variables(self, store):
        for place, state in enumerate(self.states):
            store[str(place)] = state.value.numpy()

    def load_own_variables(self, store):
        for place, state in enumerate(self.states):
            state.assign(store[str(place)])


@keras.saving.register_keras_serializable("tests")
class MixesSamples(keras.layers.LSTM):
    """Lets each sample see the others of its batch."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        return super().call(sequences + tf.reduce_mean(sequences, axis=0), initial_state, mask)


@keras.saving.register_keras_serializable("tests")
class AsBefore(keras.layers.LSTM):
    """Takes what Keras 2 took."""

    def __init__(self, units, batch_input_shape=None, **options):
        super().__init__(units, **options)

    def reset_state(self, states=None):
        for state, value in zip(self.states, states or (0, 0), strict=True):
            state.assign(tf.broadcast_to(tf.cast(value, state.dtype), state.shape))


@keras.saving.register_keras_serializable("tests")
class Loops(keras.layers.LSTM):
    """Never asks for a fused kernel."""

    def __init__(self, units, **options):
        super().__init__(units, **{**options, "use_cudnn": False})
