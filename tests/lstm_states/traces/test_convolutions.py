"""ConvLSTM layers: their states are those that their cells give, step by step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import (
    StreamingSession,
    UnsupportedLayerError,
    check_traces,
    final_states,
    join_traces,
    open_traces,
    record_gradients,
    record_traces,
)
from lstm_states.plots.states import plot_norms, plot_padding
from lstm_states.summary import measure_norms
from tests.conftest import shake
from tests.lstm_states.traces.models import every_mask, run_keras_call, watched

L = keras.layers
STATES = ("hidden", "cell")
STEPS = 8
MASK = every_mask(STEPS)


def make_x(*shape):
    return np.random.default_rng(1).normal(size=(6, STEPS, *shape)).astype("float32")


def run_cell(layer, call):
    """Have the cell itself take the steps of what Keras handed its layer: h and c by step."""
    sequences, states, mask = call
    steps = range(sequences.shape[1])
    found = [None for _ in steps]
    for step in reversed(steps) if layer.go_backwards else steps:
        _, after = layer.cell(sequences[:, step], states)
        real = np.ones(len(sequences), bool) if mask is None else np.asarray(mask)[:, step]
        real = np.expand_dims(real, tuple(range(1, len(after[0].shape))))
        states = [tf.where(real, new, old) for new, old in zip(after, states, strict=True)]
        found[step] = [np.asarray(state, "float64") for state in states]
    return {name: np.stack([own[n] for own in found], 1) for n, name in enumerate(STATES)}


def assert_as_keras(model, layers, x, mask=None, *, atol=1e-6, **options):
    """Compare a trace with what the cells of the ``layers``, by address, give by themselves."""
    given = {} if mask is None else {"mask": tf.constant(mask)}
    with watched({}, model) as calls:
        outputs = model.call(tf.constant(x), training=False, **given)
    traces = record_traces(model, x, mask=mask, **options)
    np.testing.assert_allclose(traces["outputs"], np.asarray(outputs, "float64"), atol=atol)
    for address, layer in layers.items():
        node, last = traces[address], 0 if layer.go_backwards else -1
        for name, values in run_cell(layer, calls[layer][0]).items():
            np.testing.assert_allclose(node[name], values, atol=atol, err_msg=name)
            np.testing.assert_allclose(node[f"final_{name}"], values[:, last], atol=atol)
    assert check_traces(traces)["carried"].max() == 0
    return traces


def one_dimension():
    layer = L.ConvLSTM1D(3, 3, go_backwards=True, return_sequences=True, name="conv")
    return layer, (6, 2), ("width", "unit")


def two_dimensions():
    layer = L.ConvLSTM2D(3, (2, 3), strides=2, zero_output_for_mask=True, name="conv")
    return layer, (6, 5, 2), ("height", "width", "unit")


def three_dimensions():
    layer = L.ConvLSTM3D(2, 2, padding="same", unroll=True, return_sequences=True, name="conv")
    return layer, (2, 3, 4, 3), ("depth", "height", "width", "unit")


def channels_first():
    options = {"data_format": "channels_first", "return_sequences": True}
    return L.ConvLSTM2D(3, 2, name="conv", **options), (2, 4, 5), ("unit", "height", "width")


def changed():
    """With a step of its own, which shows something else than its hidden state."""
    layer = L.ConvLSTM1D(3, 3, return_sequences=True, name="conv")
    original = layer.cell.call

    def call(inputs, states, training=False):
        _, (hidden, cell) = original(inputs, states)
        return 2 * hidden, [hidden, keras.ops.clip(cell, -0.2, 0.2)]

    layer.cell.call = call
    return layer, (6, 2), ("width", "unit")


CASES = {
    "ConvLSTM1D": one_dimension,
    "ConvLSTM2D": two_dimensions,
    "ConvLSTM3D": three_dimensions,
    "channels_first": channels_first,
    "changed": changed,
}


@pytest.mark.parametrize("case", CASES)
def test_the_states_are_those_that_the_cell_gives(case, rng):
    layer, shape, dims = CASES[case]()
    model = shake(keras.Sequential([keras.Input((STEPS, *shape)), layer]), rng)
    try:
        model.predict(make_x(*shape), verbose=0)
    except tf.errors.UnimplementedError as error:
        assert case == "channels_first"
        pytest.skip(f"TensorFlow can't on this processor: {error.message.splitlines()[-1]}")
    traces = assert_as_keras(model, {"conv": layer}, make_x(*shape), MASK, batch_size=4)
    node = traces["conv"]
    assert node["cell"].dims == ("sample", "time", *dims)
    assert node["initial_cell"].dims == ("sample", *dims)
    assert set(node.data_vars) >= {"hidden", "cell", "mask"}
    assert node.attrs["units"] == layer.filters == node.sizes["unit"]
    assert node.attrs["cell"] == ("custom of 2 states" if case == "changed" else "ConvLSTM")


@pytest.fixture(scope="module")
def stacked():
    """A ConvLSTM in both directions below an LSTM, and the layers by address."""
    both = L.Bidirectional(L.ConvLSTM1D(2, 3, return_sequences=True, padding="same"), name="both")
    top = L.LSTM(3, return_sequences=True, name="top")
    flat = L.TimeDistributed(L.Flatten())
    model = keras.Sequential([keras.Input((STEPS, 4, 2)), both, flat, top])
    layers = {"both/forward": both.forward_layer, "both/backward": both.backward_layer}
    return shake(model, np.random.default_rng(2)), layers, top


def test_an_lstm_above_has_all_its_gates(stacked):
    model, layers, top = stacked
    x = make_x(4, 2)
    traces = assert_as_keras(model, layers, x)
    with watched({}, model) as calls:
        model.call(tf.constant(x))
    for name, values in run_keras_call("top", top, calls[top][0])["top"].items():
        np.testing.assert_allclose(traces["top"][name], values, atol=2e-6)


def test_a_selection_is_stored(stacked, tmp_path):
    """The units are the filters, whatever axes come before them."""
    model, *_ = stacked
    x, path = make_x(4, 2), tmp_path / "traces.zarr"
    chosen = {"sample": [0, 2, 3, 5], "time": slice(2, None, 2), "unit": [-1]}
    whole = record_traces(model, x)
    record_traces(model, x, isel=chosen, batch_size=3, layers="both", store=path)
    for address in ("both/forward", "both/backward"):
        part = open_traces(path)[address]
        expected = whole[address].to_dataset().isel(chosen)
        assert part["hidden"].shape == (4, 3, 4, 1)
        for name in part.data_vars:
            np.testing.assert_allclose(part[name], expected[name], atol=1e-6, err_msg=name)


def test_stateful_layers_go_on_from_batch_to_batch(rng):
    layer = L.ConvLSTM2D(2, 2, stateful=True, name="conv")
    model = shake(keras.Sequential([keras.Input((STEPS, 3, 4, 1), batch_size=2), layer]), rng)
    x = make_x(3, 4, 1)
    model.predict(x[:2], verbose=0)
    live = [state.numpy() for state in layer.states]
    traces = record_traces(model, x)
    for state, before in zip(layer.states, live, strict=True):
        np.testing.assert_array_equal(state.numpy(), before)
    np.testing.assert_array_equal(traces["conv/initial_cell"][:2], live[1])
    np.testing.assert_array_equal(traces["conv/initial_cell"][2:], traces["conv/final_cell"][:-2])
    np.testing.assert_allclose(traces["outputs"], model.predict(x, 2, verbose=0), atol=1e-6)


@pytest.mark.parametrize(
    ("policy", "atol"), [("float64", 1e-12), ("mixed_bfloat16", 2e-2), ("mixed_float16", 2e-3)]
)
def test_precisions(policy, atol, rng):
    layer = L.ConvLSTM1D(2, 3, dtype=policy, name="conv")
    model = keras.Sequential([keras.Input((STEPS, 4, 2), dtype="float64"), layer])
    model = shake(model, rng)
    traces = assert_as_keras(model, {"conv": layer}, make_x(4, 2), atol=atol)
    assert traces["conv/cell"].dtype == ("float64" if policy == "float64" else "float32")


def test_pieces_are_the_whole(rng):
    """By final states, and in a session."""
    options = {"padding": "same", "return_sequences": True, "name": "conv"}
    layers = [L.ConvLSTM1D(2, 3, dilation_rate=rate, **options) for rate in (1, 2)]
    model, other = (keras.Sequential([keras.Input((None, 3, 2)), layer]) for layer in layers)
    other.set_weights(shake(model, rng).get_weights())
    x, mask = make_x(3, 2), np.roll(MASK, 1, axis=1)
    whole = record_traces(model, x, mask=mask)
    first = record_traces(model, x[:, :4], mask=mask[:, :4])
    start = final_states(first)
    second = record_traces(model, x[:, 4:], mask=mask[:, 4:], initial_state=start)
    session = StreamingSession(model, samples=6)
    pieces = [session.record(x[:, a:b], mask=mask[:, a:b]) for a, b in ((0, 1), (1, 5), (5, 8))]
    for parts in ([first, second], pieces):
        joined = join_traces(parts)
        for name in (*STATES, "final_hidden", "initial_cell"):
            np.testing.assert_allclose(joined["conv"][name], whole["conv"][name], atol=1e-6)
    with pytest.raises(ValueError, match=r"with dilation_rate .* of model .* has"):
        session.to(other)
    with pytest.raises(ValueError, match=r"must have \[\(6, 3, 2\), \(6, 3, 2\)\]"):
        record_traces(model, x, initial_state={"conv": [np.zeros((6, 2))] * 2})


def test_gradients_are_those_of_a_tape(rng):
    """The states at the start and at a step in between: there Keras goes on from them."""
    layer = L.ConvLSTM1D(2, 3, dtype="float64", name="conv")
    dense = L.Dense(1, dtype="float64")
    inputs = keras.Input((None, 4, 2), dtype="float64")
    model = shake(keras.Model(inputs, dense(L.Flatten()(layer(inputs)))), rng)
    x = make_x(4, 2)
    gradients = record_gradients(model, x, batch_size=4)["conv"]
    for first, name in ((0, "initial_cell"), (4, "cell")):
        states = [tf.zeros((6, 2, 2), tf.float64) for _ in STATES]
        for step in range(first):
            _, states = layer.cell(tf.constant(x[:, step], tf.float64), states)
        with tf.GradientTape() as tape:
            tape.watch(states)
            shown = layer(tf.constant(x[:, first:], tf.float64), initial_state=list(states))
            number = dense(tf.reshape(shown, (6, -1)))
        expected = tape.gradient(number, states)[1]
        recorded = gradients[name] if first == 0 else gradients[name][:, first - 1]
        np.testing.assert_allclose(recorded, expected, atol=1e-12)


def test_an_axis_of_space_is_not_taken_for_the_time(rng):
    """Though there are as many places as steps."""
    layer = L.ConvLSTM2D(1, 1, name="conv")
    model = shake(keras.Sequential([keras.Input((STEPS, STEPS, 2, 1)), layer]), rng)
    x = make_x(STEPS, 2, 1)
    traces = record_traces(model, x, isel={"time": [0, 1]})
    assert "time" not in traces["outputs"].dims
    np.testing.assert_allclose(traces["outputs"], model.predict(x, verbose=0), atol=1e-6)


def test_measures_and_figures(rng):
    layer = L.ConvLSTM2D(3, 2, name="conv")
    model = shake(keras.Sequential([keras.Input((STEPS, 3, 4, 2)), layer]), rng)
    traces = record_traces(model, make_x(3, 4, 2), mask=MASK)
    cells = np.asarray(traces["conv/cell"], "float64")
    norm = np.linalg.norm(cells, axis=-1)[MASK].mean()
    assert float(measure_norms(traces)["cell_norm"][0]) == pytest.approx(norm)
    _, axis = plot_norms(traces, title="norms").axes
    shown = np.sqrt((cells**2).mean((2, 3, 4)))
    expected = np.nanmedian(np.where(MASK, shown, np.nan), 0)
    np.testing.assert_allclose(axis.lines[0].get_ydata(), expected)
    (axis,) = plot_padding(traces, sample=0, units=2, title="padding").axes
    flat = np.abs(cells[0].reshape(STEPS, -1)).max(0)
    highest = [np.abs(line.get_ydata()).max() for line in axis.lines]
    np.testing.assert_allclose(highest, np.sort(flat)[::-1][:2])


class Images(L.Layer):
    """Carries an image, but says that it carries a vector."""

    state_size = output_size = 3

    def get_initial_state(self, batch_size=None):
        return [keras.ops.zeros((batch_size, 4, 3))]

    def call(self, inputs, states):
        return inputs[..., 0], [states[0] + inputs]


def test_states_and_masks_of_unknown_axes_are_refused_at_once():
    model = keras.Sequential([L.RNN(Images(), name="rnn")])
    model.build((None, STEPS, 4, 3))
    with pytest.raises(UnsupportedLayerError, match=r"'rnn' carries a state of shape .*4, 3\)"):
        record_traces(model, make_x(4, 3))
    masked = [L.Masking(), L.ConvLSTM1D(2, 3, name="conv")]
    model = keras.Sequential([keras.Input((STEPS, 4, 2)), *masked])
    with pytest.raises(UnsupportedLayerError, match=r"'conv' receives a mask of shape .*, 4\)"):
        record_traces(model, make_x(4, 2))
