"""What layers are given: recorded, differentiated by, edited from another trace."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import Edit, open_traces, record_gradients, record_traces
from tests.conftest import shake

L = keras.layers


@pytest.fixture(scope="module")
def model():
    given = keras.Input((6, 3))
    both = L.Bidirectional(L.LSTM(4, return_sequences=True), name="both")(L.Masking()(given))
    cells = [L.GRUCell(3, name="low"), L.LSTMCell(2, name="high")]
    made = keras.Model(given, L.Dense(1)(L.RNN(cells, name="stack")(both)))
    return shake(made, np.random.default_rng(1))


@pytest.fixture(scope="module")
def x():
    values = np.random.default_rng(0).normal(size=(5, 6, 3)).astype("float32")
    values[2, 4:] = values[3, :2] = 0
    return values


def test_each_cell_has_what_it_was_given_in_the_order_of_the_input(model, x, tmp_path):
    traces = record_traces(model, x, quantities=["hidden", "inputs"])
    for direction in ("forward", "backward"):
        np.testing.assert_array_equal(traces[f"both/{direction}/inputs"], x)
    assert traces["both/forward/inputs"].dims == ("sample", "time", "feature")
    both = np.concatenate([traces[f"both/{d}/hidden"] for d in ("forward", "backward")], -1)
    np.testing.assert_array_equal(traces["stack/low/inputs"][0], both[0])
    np.testing.assert_array_equal(traces["stack/high/inputs"][0], traces["stack/low/hidden"][0])
    some = record_traces(
        model, x, quantities="inputs", isel={"time": [4, 1], "unit": [0]}, store=tmp_path / "s"
    )
    np.testing.assert_array_equal(some["both/backward/inputs"], x[:, [4, 1]])
    np.testing.assert_array_equal(open_traces(tmp_path / "s")["both/forward/inputs"], x[:, [4, 1]])


def test_inputs_are_recorded_only_if_they_are_asked_for(model, x):
    assert "inputs" not in record_traces(model, x)["stack/low"]


def test_derivatives_by_inputs_are_those_of_keras(model, x):
    slopes = record_gradients(model, x, quantities="inputs")
    with tf.GradientTape() as tape:
        given = tf.constant(x)
        tape.watch(given)
        output = model(given)
    both = slopes["both/forward/inputs"] + slopes["both/backward/inputs"]
    np.testing.assert_allclose(both, tape.gradient(output, given), atol=1e-6)
    assert (both[2, 4:] == 0).all()
    assert abs(both[2, :4]).min() > 0


def test_a_traces_inputs_go_into_an_edit_as_they_are(model, x):
    other = record_traces(model, -x, quantities=["inputs"])
    edits = [Edit("stack/low", "inputs", set=other["stack/low/inputs"])]
    found = record_traces(model, x, edits=edits, quantities=["inputs"])
    real = other["both/forward/mask"].values
    np.testing.assert_array_equal(
        found["stack/low/inputs"].values[real], other["stack/low/inputs"].values[real]
    )
    np.testing.assert_allclose(found["outputs"], other["outputs"], atol=1e-6)


def test_a_convolution_has_axes_of_space():
    given = keras.Input((3, 5, 4, 2))
    model = keras.Model(given, L.ConvLSTM2D(2, 3, name="conv")(given))
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4, 2)).astype("float32")
    found = record_traces(model, x, quantities=["inputs"])["conv/inputs"]
    assert found.dims == ("sample", "time", "input_height", "input_width", "feature")
    np.testing.assert_array_equal(found, x)


class JoinedCell(keras.layers.Layer):
    """A cell whose one kernel is for the input and the state together."""

    state_size = output_size = 2

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1] + 2, 2), name="kernel")
        self.built = True

    def call(self, inputs, states):
        joined = keras.ops.concatenate([inputs, states[0]], -1)
        new = keras.ops.tanh(keras.ops.matmul(joined, self.kernel))
        return new, [new]


def test_what_a_custom_cell_s_weights_are_for_only_its_code_knows():
    model = keras.Sequential([keras.Input((4, 3)), L.RNN(JoinedCell(), name="rnn")])
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    found = record_traces(model, x, quantities=["hidden", "inputs"])
    np.testing.assert_array_equal(found["rnn/inputs"], x)
    np.testing.assert_allclose(found["rnn/hidden"][:, -1], model(x), atol=1e-6)
