"""Models whose layers are given other rows than the samples: folded, left out, put in order."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import (
    RecordTraces,
    StreamingSession,
    UnsupportedLayerError,
    open_traces,
    record_gradients,
    record_traces,
)
from lstm_states.traces.rows import keeps_rows
from tests.conftest import shake
from tests.lstm_states.traces.models import assert_close, in_batches, run_stack

L = keras.layers


class Fold(L.Layer):
    """Each of 5 sensors is a sequence of its own."""

    def __init__(self):
        super().__init__(name="fold")
        self.lstm = L.LSTM(4, name="lstm")

    def call(self, z):
        rows = keras.ops.reshape(z, (-1, 6, 2))
        return keras.ops.reshape(self.lstm(rows), (-1, 5, 4))


@pytest.fixture(scope="module")
def folding():
    inputs = keras.Input((5, 6, 2))
    model = keras.Model(inputs, Fold()(inputs))
    return shake(model, np.random.default_rng(1))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(2).normal(size=(7, 5, 6, 2)).astype("float32")


def test_folded_rows_have_a_dimension_of_their_own(folding, x, tmp_path):
    layer = folding.get_layer("fold").lstm
    expected = run_stack([layer], x.reshape(35, 6, 2))[0]["lstm"]
    traces = record_traces(folding, x, batch_size=3)
    node = traces["fold/lstm"]
    for name, values in expected.items():
        assert node[name].dims == ("row", "time", "unit")
        assert_close(node[name], values, 2e-6, name)
    assert "not the model's samples" in node.attrs["rows"]
    np.testing.assert_allclose(traces["outputs"], folding.predict(x, verbose=0), atol=1e-6)
    assert traces["outputs"].dims[0] == "sample"
    stored = record_traces(folding, x, batch_size=3, store=tmp_path / "states.zarr")
    assert stored.load().identical(traces)
    # One sample of all that has samples: the tree stays one tree.
    assert traces.isel(sample=0)["fold/lstm/cell"].sizes["row"] == 35
    some = record_traces(folding, x, batch_size=3, isel={"sample": [1, 3, 0]})
    np.testing.assert_array_equal(some["sample"], [1, 3, 0])
    chosen = expected["cell"].reshape(7, 5, 6, 4)[[1, 3, 0]].reshape(15, 6, 4)
    assert_close(some["fold/lstm/cell"], chosen, 2e-6, "cell")


def test_a_store_of_folded_rows_is_resumed(folding, x, tmp_path):
    store = tmp_path / "states.zarr"
    with pytest.raises(KeyboardInterrupt):
        record_traces(folding, in_batches(x, 3, stop=6), store=store)
    resumed = record_traces(folding, in_batches(x, 3), store=store).load()
    assert resumed.identical(record_traces(folding, x, batch_size=3))


def test_gradients_by_folded_rows(folding, x):
    options = {"output": lambda y: y[:, 2, 0], "batch_size": 3}
    node = record_gradients(folding, x[:6], **options)["fold/lstm"]
    by_sensor = node["hidden"].values.reshape(6, 5, 6, 4)
    expected = np.zeros(4)
    expected[0] = 1  # the chosen number is the last hidden state itself
    np.testing.assert_allclose(by_sensor[:, 2, -1], np.broadcast_to(expected, (6, 4)), atol=1e-6)
    assert not by_sensor[:, [0, 1, 3, 4]].any()


def test_a_training_with_folded_rows_is_watched(folding, x, tmp_path):
    model = keras.models.clone_model(folding, clone_function=lambda layer: layer)
    model.compile("sgd", "mse")
    watch = RecordTraces(x[:2], directory=tmp_path, quantities=["hidden"])
    model.fit(x, np.zeros((7, 5, 4)), epochs=1, verbose=0, callbacks=[watch])
    last = open_traces(tmp_path / "epoch_0001.zarr")["fold/lstm/final_hidden"]
    assert_close(last, model.predict(x[:2], verbose=0).reshape(10, 4), 2e-6, "hidden")


class Own(keras.Model):
    """Gives its layer what ``rows`` makes of the samples."""

    def __init__(self, rows):
        super().__init__()
        self.rows, self.lstm = rows, L.LSTM(2, name="lstm")

    def call(self, x):
        return tf.fill((tf.shape(x)[0], 1), tf.reduce_sum(self.lstm(self.rows(x))))


def some(x):
    return tf.boolean_mask(x, x[:, 0, 0] > 0)


ROWS = {
    "every second sample": lambda x: x[::2],
    "some": some,
    "turned around": lambda x: x[::-1],
    "the next one": lambda x: tf.roll(x, -1, 0),
    "in order": lambda x: tf.gather(x, tf.argsort(x[:, 0, 0])),
    "the first one alone": lambda x: tf.repeat(x[:1], tf.shape(x)[0], 0),
    "two change places": lambda x: tf.gather(x, [0, 1, 3, 2]) if x.shape[0] == 4 else x,
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_that_are_not_the_samples(case, rng):
    """All that is recorded is what the layer did with what it was given, batch by batch."""
    x = rng.normal(size=(8, 5, 3)).astype("float32")
    model = Own(ROWS[case])
    model(x)
    shake(model, rng)
    given = np.concatenate([np.asarray(model.rows(tf.constant(x[n : n + 4]))) for n in (0, 4)])
    node = record_traces(model, x, batch_size=4)["lstm"]
    assert node["cell"].dims == ("row", "time", "unit")
    expected = run_stack([model.lstm], given)[0]["lstm"]
    for name, values in expected.items():
        assert_close(node[name], values, 2e-6, name)


def test_a_batch_of_no_rows(rng, tmp_path):
    x = rng.normal(size=(6, 5, 3)).astype("float32")
    x[:2, 0, 0], x[2:4, 0, 0], x[4:, 0, 0] = 1, -1, (1, -1)
    model = Own(some)
    model(x)
    node = record_traces(model, x, batch_size=2, quantities=["cell"])["lstm"]
    expected = record_traces(model, x[[0, 1, 4]], quantities=["cell"])["lstm"]
    np.testing.assert_allclose(node["cell"], expected["cell"], atol=1e-6)
    with pytest.raises(ValueError, match=r"\['lstm'\] receive other rows .* after sample 2,"):
        record_traces(model, x, batch_size=2, quantities=["cell"], store=tmp_path / "states.zarr")


class Turned(keras.Model):
    """Turns a batch around when its first number is positive."""

    def __init__(self):
        super().__init__()
        self.lstm = L.LSTM(3, return_sequences=True, name="lstm")

    def call(self, z):
        turned = tf.cond(z[0, 0, 0] > 0, lambda: z[::-1], lambda: z)
        return self.lstm(tf.ensure_shape(turned, z.shape))


def test_rows_that_are_others_later_on(rng, tmp_path):
    model, x = Turned(), rng.normal(size=(8, 6, 2)).astype("float32")
    x[:, 0, 0] = [-1, -1, -1, -1, 1, 1, 1, 1]
    model(x)
    shake(model, rng)
    traces = record_traces(model, x, batch_size=4)
    assert traces["lstm/hidden"].dims == ("row", "time", "unit")
    np.testing.assert_allclose(traces["lstm/hidden"], traces["outputs"], atol=1e-6)
    told = "layers ['lstm'] receive other rows than the samples after sample 4, but not before"
    with pytest.raises(ValueError, match=re.escape(told)):
        record_traces(model, x, batch_size=4, isel={"time": [1, 2]})
    with pytest.raises(ValueError, match=re.escape(told)):
        record_traces(model, x, batch_size=4, store=tmp_path / "states.zarr")
    without = record_traces(model, x, batch_size=4, isel={"time": [1, 2]}, outputs=False)
    np.testing.assert_array_equal(without["lstm/hidden"], traces["lstm/hidden"][:, 1:3])


def test_states_of_samples_are_not_given_to_other_rows(folding, x, rng):
    with pytest.raises(UnsupportedLayerError, match=r"receives 35 rows, not the 7 samples"):
        record_traces(folding, x, initial_state={"fold/lstm": [np.zeros((7, 4))] * 2})
    model, sequences = Own(ROWS["turned around"]), rng.normal(size=(4, 5, 3)).astype("float32")
    model(sequences)
    with pytest.raises(UnsupportedLayerError, match=r"\['lstm'\] receive other rows than"):
        record_traces(model, sequences, initial_state={"lstm": [np.zeros((4, 2))] * 2})
    free = keras.Input((None, 3))
    gathered = L.Lambda(lambda v: tf.concat([v, v], 0), output_shape=(None, 3))(free)
    half = L.Lambda(lambda v: v[: tf.shape(v)[0] // 2], output_shape=(2,))
    doubled = keras.Model(free, half(L.LSTM(2, name="lstm")(gathered)))
    with pytest.raises(UnsupportedLayerError, match="receives 2 rows for 1 samples"):
        StreamingSession(doubled)


@pytest.mark.parametrize(
    "rows",
    [
        lambda x: x * 2,
        lambda x: x + tf.random.normal(tf.shape(x)),  # noise that can't be drawn again
    ],
    ids=["scaled", "noisy"],
)
def test_samples_in_their_places_are_samples(rows, rng):
    model = Own(rows)
    x = rng.normal(size=(5, 4, 3)).astype("float32")
    model(x)
    assert record_traces(model, x)["lstm/cell"].dims == ("sample", "time", "unit")


class OwnScores(L.Attention):
    def _apply_scores(self, scores, value, **options):
        return value[::-1]


def test_models_of_keras_s_own_layers_are_known():
    inputs = keras.Input((4, 3))
    inner = keras.Sequential([keras.Input((4, 3)), L.Bidirectional(L.LSTM(2))])
    known = keras.Model(inputs, L.Dense(2)(inner(inputs)))
    assert keeps_rows(known)
    for layers in (
        [keras.Input((4, 3)), L.Masking()],
        [keras.Input((4,)), L.Embedding(5, 3, mask_zero=True)],
    ):
        assert keeps_rows(keras.Sequential([*layers, L.LSTM(2)]))
    flags = keras.Input((4, 1), dtype="bool")
    for mask in (keras.ops.any(flags, axis=0), keras.ops.any(flags), flags[:, 0] != flags[0]):
        assert not keeps_rows(keras.Model([inputs, flags], [L.LSTM(2)(inputs), mask]))
    for layer in (L.Lambda(lambda v: v), Fold(), L.Concatenate(axis=0)):
        assert not keeps_rows(keras.Sequential([L.Dense(2), layer]))
    assert not keeps_rows(keras.Model(inputs, inner(inputs) * 2))
    assert not keeps_rows(keras.Sequential([L.Dense(2, activation=keras.ops.flip)]))
    assert not keeps_rows(OwnScores())
    assert not keeps_rows(L.MultiHeadAttention(1, 2, attention_axes=(0,)))
    assert not keeps_rows(keras.Sequential([L.Dense(2, activation=lambda v: v[::-1])]))
    assert not keeps_rows(keras.Sequential([L.TimeDistributed(Fold())]))
    assert not keeps_rows(Own(some))
