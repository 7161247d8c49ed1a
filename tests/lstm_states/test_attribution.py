"""Attributions against sums by hand and Keras's own derivatives, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import (
    TraceError,
    UnsupportedLayerError,
    record_attributions,
    record_gradients,
    record_traces,
)
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


@pytest.mark.parametrize("quantity", ["cell", "hidden"])
def test_states_add_up_where_steps_are_masked(tokens, quantity):
    model, x = tokens
    found = record_attributions(model, x, layers="top", quantity=quantity, baseline=0.1)
    change = found["chosen"] - found["chosen_at_baseline"]
    assert abs(change).min() > 1e-4
    shares = found["top"][quantity]
    np.testing.assert_allclose(shares.sum(["time", "unit"]), change, atol=1e-6)
    assert (shares[1, 4:] == 0).all()
    assert abs(shares[1, 3]).min() > 0


def test_batches_and_targets_are_those_of_the_caller(tokens):
    model, x = tokens
    signs = np.array([1.0, -2.0, 3.0], "float32")
    plain = record_attributions(model, x, layers="top", quantity="cell")
    found = record_attributions(
        model, x, layers="top", quantity="cell", batch_size=2, y=signs,
        output=lambda outputs, y: outputs[:, 0] * y,
    )  # fmt: skip
    expected = plain["top/cell"] * signs[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(found["top/cell"], expected, atol=1e-6)


def test_of_stacked_cells_the_lowest_is_given_the_input():
    cells = [L.SimpleRNNCell(2, name="low"), L.SimpleRNNCell(3, name="high")]
    model = keras.Sequential([keras.Input((None, 2)), L.RNN(cells, name="stack"), L.Dense(1)])
    shake(model, np.random.default_rng(5))
    x = np.random.default_rng(6).normal(size=(2, 3, 2)).astype("float32")
    found = record_attributions(model, x, layers="stack")
    assert list(found.children["stack"].children) == ["low"]
    change = found["chosen"] - found["chosen_at_baseline"]
    np.testing.assert_allclose(
        found["stack/low/inputs"].sum(["time", "feature"]), change, atol=1e-6
    )
    one = record_attributions(model, x, layers="stack/high", quantity="hidden")
    assert list(one.children["stack"].children) == ["high"]


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
    with pytest.raises(ValueError, match=r"4 samples, but model .* is stateful for batches of 2"):
        record_attributions(model, np.concatenate([x, x]), layers="lstm", output=lambda y: y[:, 1])
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
        ({"layers": "up"}, "no recurrent layer matches 'up'; available are .*'top'"),
        ({"baseline": np.zeros((2, 2))}, r"'inputs' of layer 'top' needs numbers .* \(3, 7, 6\)"),
        ({"baseline": "a"}, "baseline is 'a'"),
        ({"baseline": np.nan}, "baseline holds NaN"),
        ({"tolerance": 0}, "tolerance is 0"),
        ({"tolerance": "a"}, "tolerance is 'a'"),
    ],
)
def test_what_is_wrong_is_told(tokens, changes, message):
    model, x = tokens
    with pytest.raises(ValueError, match=message):
        record_attributions(model, x, **{"layers": "top", **changes})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantities": "hidden"}, "baseline holds no 'inputs' of layer 'top'"),
        ({"quantities": "inputs", "isel": {"sample": [2, 0, 1]}}, "only some of sample"),
        ({"quantities": "inputs", "layers": "both"}, "baseline holds no 'inputs' of layer 'top'"),
    ],
)
def test_a_baseline_must_hold_all_of_the_quantity(tokens, options, message):
    model, x = tokens
    start = record_traces(model, x, **options)
    with pytest.raises(ValueError, match=message):
        record_attributions(model, x, layers="top", baseline=start)


def test_derivatives_are_no_baseline(tokens):
    model, x = tokens
    slopes = record_gradients(model, x, layers="top", quantities="inputs")
    with pytest.raises(ValueError, match="baseline holds derivatives"):
        record_attributions(model, x, layers="top", baseline=slopes)


def test_an_iterator_can_t_be_read_again(tokens):
    model, x = tokens
    with pytest.raises(ValueError, match="x is an iterator"):
        record_attributions(model, iter([x]), layers="top")


def test_a_layer_that_is_called_twice_is_refused():
    given, layer = keras.Input((3, 2)), L.GRU(2, return_sequences=True, name="twice")
    model = keras.Model(given, L.Dense(1)(layer(layer(given))[:, -1]))
    with pytest.raises(UnsupportedLayerError, match="'twice' is called several times"):
        record_attributions(model, np.zeros((1, 3, 2), "float32"), layers="twice")
