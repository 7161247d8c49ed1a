"""Attributions against sums by hand and Keras's own derivatives, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import TraceError, UnsupportedLayerError, record_attributions, record_traces
from tests.conftest import shake

L = keras.layers


@pytest.fixture(scope="module")
def tokens():
    """Tokens with padding, and a model that embeds them for both directions."""
    made = keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            L.Embedding(9, 4, mask_zero=True),
            L.Bidirectional(L.GRU(3, return_sequences=True), name="both"),
            L.LSTM(4, name="top"),
            L.Dense(1),
        ]
    )
    shake(made, np.random.default_rng(1))
    x = np.random.default_rng(2).integers(1, 9, (3, 7))
    x[1, 4:] = 0
    return made, x


def test_a_linear_sum_is_attributed_by_its_terms():
    layer = L.SimpleRNN(1, activation="linear", name="sum")
    model = keras.Sequential([keras.Input((4, 2)), layer])
    layer.set_weights([np.array([[2.0], [3.0]]), np.array([[0.5]]), np.array([1.0])])
    x = np.random.default_rng(0).normal(size=(2, 4, 2)).astype("float32")
    found = record_attributions(model, x, layers="sum", baseline=1.0)
    left = 0.5 ** np.arange(3, -1, -1.0)[:, np.newaxis] * [2.0, 3.0]
    np.testing.assert_allclose(found["sum/inputs"], (x - 1) * left, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["chosen"], model(x)[:, 0], rtol=1e-6)
    np.testing.assert_allclose(found["chosen_at_baseline"], model(x * 0 + 1)[:, 0], rtol=1e-6)


def test_tokens_are_attributed_as_by_keras_alone(tokens):
    model, x = tokens
    other = x[::-1].copy()
    other[1, 4:] = 0
    start = record_traces(model, other, layers="both/*", quantities="inputs")
    found = record_attributions(model, x, layers="both/*", baseline=start)
    both = found["both/forward/inputs"] + found["both/backward/inputs"]

    embedding = model.layers[0]
    first, last = (embedding(values).numpy() for values in (other, x))
    real = x != 0
    along = tf.constant(
        np.concatenate([first + (n + 0.5) / 200 * (last - first) for n in range(200)])
    )
    with tf.GradientTape() as tape:
        tape.watch(along)
        mask = tf.constant(np.tile(real, (200, 1)))
        above = model.layers[1](along, mask=mask)
        output = model.layers[3](model.layers[2](above, mask=mask))
    slopes = tape.gradient(output, along).numpy().reshape(200, *first.shape)
    expected = slopes.mean(0) * (last - first) * real[..., np.newaxis]
    np.testing.assert_allclose(both, expected, atol=2e-6)
    change = (model(x) - model(other))[:, 0]
    np.testing.assert_allclose(both.sum(["time", "feature"])[[0, 2]], change[0::2], atol=1e-5)


def test_states_add_up_in_batches_of_any_size(tokens):
    model, x = tokens
    whole = record_attributions(model, x, layers="top", quantity="cell", baseline=0.1)
    parts = record_attributions(model, x, layers="top", quantity="cell", baseline=0.1, rows=30)
    np.testing.assert_allclose(whole["top/cell"], parts["top/cell"], atol=1e-6)
    change = whole["chosen"] - whole["chosen_at_baseline"]
    assert abs(change).min() > 1e-3
    np.testing.assert_allclose(whole["top/cell"].sum(["time", "unit"]), change, atol=1e-6)
    assert (whole["top/cell"][1, 4:] == 0).all()
    assert abs(whole["top/cell"][1, 3]).min() > 0


def test_what_a_layer_starts_from_is_attributed(tokens):
    model, x = tokens
    found = record_attributions(
        model, x, layers="top", quantity="initial_cell", baseline=np.full(4, 3.0)
    )
    change = found["chosen"] - found["chosen_at_baseline"]
    assert abs(change).max() > 1e-3
    np.testing.assert_allclose(found["top/initial_cell"].sum("unit"), change, atol=1e-6)


def test_live_states_do_not_move_from_point_to_point():
    given = keras.Input(batch_shape=(2, 4, 2))
    model = keras.Model(given, L.LSTM(3, stateful=True, name="lstm")(given))
    shake(model, np.random.default_rng(3))
    x = np.random.default_rng(4).normal(size=(2, 4, 2)).astype("float32")
    model.predict(x, verbose=0)
    kept = model.layers[1].states[0].numpy()
    found = record_attributions(model, x, layers="lstm", output=lambda y: y[:, 1])
    np.testing.assert_allclose(found["chosen"], model.predict(x, verbose=0)[:, 1], atol=1e-6)
    assert not np.allclose(kept, 0)
    assert abs(found["residual"]).max() < 1e-5


def test_a_jump_on_the_way_is_told_by_how_much_it_misses(tokens):
    model, x = tokens
    step = lambda y: tf.where(y[:, 0] > tf.reduce_mean(y), 1.0, 0.0) + 0 * y[:, 0]  # noqa: E731
    message = r"add up to .* but the output changes by -?1 .* 256 points"
    with pytest.raises(TraceError, match=message):
        record_attributions(model, x, layers="top", quantity="cell", output=step)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantity": "gate"}, "'top'.*'gate'.*no such quantity"),
        ({"baseline": np.zeros((2, 2))}, r"baseline has shape \(2, 2\).*\(3, 7, 8?"),
        ({"baseline": np.nan}, "baseline holds NaN"),
        ({"tolerance": 0}, "tolerance is 0"),
        ({"rows": 0}, "rows is 0"),
    ],
)
def test_what_is_wrong_is_told(tokens, changes, message):
    model, x = tokens
    with pytest.raises(ValueError, match=message):
        record_attributions(model, x, layers="top", **changes)


def test_a_baseline_must_hold_the_quantity(tokens):
    model, x = tokens
    start = record_traces(model, x, layers="top", quantities="hidden")
    with pytest.raises(ValueError, match="baseline holds no 'inputs' of layer 'top'"):
        record_attributions(model, x, layers="top", baseline=start)


def test_a_layer_that_is_called_twice_is_refused():
    given, layer = keras.Input((3, 2)), L.GRU(2, return_sequences=True, name="twice")
    model = keras.Model(given, L.Dense(1)(layer(layer(given))[:, -1]))
    with pytest.raises(UnsupportedLayerError, match="'twice' is called several times"):
        record_attributions(model, np.zeros((1, 3, 2), "float32"), layers="twice")
