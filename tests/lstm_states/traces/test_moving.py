"""What a call moves: seeds of noise, counters, averages. A recording leaves all of it as it was."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import RecordTraces, StreamingSession, record_gradients, record_traces
from tests.lstm_states.traces.models import in_batches

L = keras.layers


class Kept(tf.Module):
    """A variable inside something that isn't a layer."""

    def __init__(self):
        super().__init__()
        self.average = tf.Variable(np.zeros(3, "float32"), trainable=False)


class Moving(L.Layer):
    """Keeps all that a layer may move when it predicts, and shows it."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(1)
        self.generator = tf.random.Generator.from_seed(2)
        self.calls = tf.Variable(0.0, trainable=False)
        self.inside = [Kept()]
        self.total = self.add_weight(shape=(), trainable=False, initializer="zeros")

    def call(self, z):
        self.calls.assign_add(1.0)
        mean = self.inside[0].average
        tf.cond(self.calls > 1, lambda: mean.assign(mean + 1), lambda: mean.assign(mean + 0.5))
        self.total.assign(self.total + keras.ops.sum(z))
        noise = keras.random.normal(keras.ops.shape(z), seed=self.seeds)
        noise += keras.random.normal(keras.ops.shape(z)) + self.generator.normal(tf.shape(z))
        return z + noise + mean + self.total / 100

    def moved(self):
        variables = (self.seeds.state, self.calls, self.inside[0].average, self.total)
        return [v.numpy() for v in (*variables, self.generator.state)]


class AlwaysDropping(L.Dropout):
    """Monte Carlo dropout."""

    def call(self, inputs, training=False):
        return super().call(inputs, training=True)


@pytest.fixture(scope="module")
def model():
    layers = [keras.Input((6, 3)), Moving(), AlwaysDropping(0.5), L.LSTM(4, name="lstm")]
    return keras.Sequential([*layers, L.Dense(1)])


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(3).normal(size=(8, 6, 3)).astype("float32")


def moved(model):
    seeds = [
        layer.seed_generator.state for layer in model.layers if hasattr(layer, "seed_generator")
    ]
    shared = keras.src.random.seed_generator.global_seed_generator().state
    return [*model.layers[0].moved(), *(v.numpy() for v in (*seeds, shared))]


def assert_same(first, second):
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


def test_batches_go_on_as_in_predict_and_nothing_stays_moved(model, x, tmp_path):
    keras.utils.set_random_seed(1)
    before = moved(model)
    traces = record_traces(model, x, batch_size=2)
    assert_same(moved(model), before)
    assert record_traces(model, x, batch_size=2).identical(traces)
    store = tmp_path / "states.zarr"
    with pytest.raises(KeyboardInterrupt):
        record_traces(model, in_batches(x, 2, stop=4), store=store)
    assert_same(moved(model), before)
    # The noise goes on as if nothing had been interrupted.
    assert record_traces(model, in_batches(x, 2), store=store).load().identical(traces)
    gradients = record_gradients(model, x, batch_size=2)
    np.testing.assert_allclose(gradients["outputs"], traces["outputs"], atol=1e-6)
    assert_same(moved(model), before)
    expected = model.predict(x, batch_size=2, verbose=0)
    np.testing.assert_allclose(traces["outputs"], expected, atol=1e-6)
    for one, two in zip(moved(model), before, strict=True):
        assert not np.array_equal(one, two)


def test_a_store_is_not_resumed_from_other_seeds(model, x, tmp_path):
    store = tmp_path / "states.zarr"
    with pytest.raises(KeyboardInterrupt):
        record_traces(model, in_batches(x, 2, stop=4), store=store)
    seeds = model.layers[0].seeds.state
    kept = seeds.numpy()
    seeds.assign(kept + 1)
    with pytest.raises(ValueError, match="had other live states, seeds or counters"):
        record_traces(model, in_batches(x, 2), store=store)
    seeds.assign(kept)
    assert record_traces(model, in_batches(x, 2), store=store).sizes["sample"] == 8


def test_an_error_leaves_nothing_moved(model, x):
    before = moved(model)
    with pytest.raises(ValueError, match=r"shape \(2, 7\) in the batch after sample 2"):
        record_traces(model, (part for part in (x[:2], np.concatenate([x[:2]] * 2, 1)[:, :7])))
    assert_same(moved(model), before)


def test_a_training_that_is_watched_draws_the_same_noise(x):
    def trained(callbacks):
        keras.utils.set_random_seed(1)
        layers = [keras.Input((6, 3)), Moving(), L.Dropout(0.5), L.LSTM(2)]
        model = keras.Sequential(layers)
        model.compile("sgd", "mse")
        model.fit(x, np.zeros((8, 2)), epochs=2, verbose=0, callbacks=callbacks)
        return [*model.get_weights(), *moved(model)]

    assert_same(trained([]), trained([RecordTraces(x[:2])]))


def test_a_stream_leaves_counters_alone(x):
    counting = Counting()
    model = keras.Sequential([keras.Input((None, 3)), counting, L.LSTM(2)])
    session = StreamingSession(model, samples=8)
    session.run(x[:, :3])
    session.record(x[:, 3:])
    assert counting.calls.numpy() == 0


class Counting(L.Layer):
    """Counts its calls."""

    def __init__(self):
        super().__init__()
        self.calls = tf.Variable(0, trainable=False)

    def call(self, z):
        self.calls.assign_add(1)
        return z
