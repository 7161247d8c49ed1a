import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_states import UnsupportedLayerError, check_traces, record_traces
from lstm_states.schema import QUANTITIES
from lstm_states.traces import TraceError, record
from tests.conftest import shake
from tests.oracle import run_layer

LSTM = keras.layers.LSTM


def make_stack(rng, *, units=(5, 3), features=4, **options):
    layers = [keras.Input((None, features))]
    layers += [LSTM(u, return_sequences=True, **options) for u in units[:-1]]
    layers += [LSTM(units[-1], **options), keras.layers.Dense(2)]
    return shake(keras.Sequential(layers), rng)


def make_mask(kind, rng, shape=(6, 9)):
    mask = np.ones(shape, bool)
    lengths = rng.integers(1, shape[1], shape[0])[:, None]
    steps = np.arange(shape[1])[None]
    if kind == "right":
        mask = steps < lengths
    elif kind == "left":
        mask = steps >= shape[1] - lengths
    elif kind == "middle":
        mask = (steps < 2) | (steps >= 5)
        mask = np.broadcast_to(mask, shape).copy()
    elif kind == "rows":
        mask[1] = mask[4] = False
    elif kind == "random":
        mask = rng.random(shape) < 0.5
    return mask


def assert_trace(node, expected, atol=1e-5):
    for name in QUANTITIES:
        np.testing.assert_allclose(node[name], expected[name], atol=atol, err_msg=name)


@pytest.mark.parametrize("kind", ["none", "right", "left", "middle", "rows", "random"])
def test_stack_equals_the_equations(kind, rng):
    model = make_stack(rng, units=(5, 4, 3))
    x = rng.normal(size=(6, 9, 4)).astype("float32")
    mask = None if kind == "none" else make_mask(kind, rng)
    traces = record_traces(model, x, mask=mask, batch_size=4)
    below = x
    for layer, address in zip(model.layers[:3], ["lstm", "lstm_1", "lstm_2"], strict=True):
        # Keras numbers names across the session, so addresses are taken by position.
        node = traces[list(traces.children)[int(address[5:] or 0)]]
        expected, below = run_layer(layer, below, mask)
        assert_trace(node, expected)
        np.testing.assert_array_equal(
            np.isnan(node["input_gate"]).all("unit"), ~traces["mask"].values
        )
    head = below[:, -1] @ model.layers[-1].get_weights()[0] + model.layers[-1].get_weights()[1]
    np.testing.assert_allclose(traces["outputs"], head, atol=1e-5)
    keras_mask = None if mask is None else tf.constant(mask)
    np.testing.assert_allclose(
        traces["outputs"], model.call(tf.constant(x), mask=keras_mask), atol=1e-6
    )


def test_masking_layer_and_predict(rng):
    model = shake(
        keras.Sequential(
            [
                keras.Input((None, 4)),
                keras.layers.Masking(0.0),
                LSTM(5, return_sequences=True, name="low"),
                LSTM(3, name="high"),
                keras.layers.Dense(1),
            ]
        ),
        rng,
    )
    x = rng.normal(size=(6, 9, 4)).astype("float32")
    mask = make_mask("right", rng)
    x[~mask] = 0
    traces = record_traces(model, x)
    np.testing.assert_array_equal(traces["mask"], mask)
    assert list(traces.children) == ["low", "high"]
    np.testing.assert_allclose(traces["outputs"], model.predict(x, verbose=0), atol=1e-6)
    for n, length in enumerate(mask.sum(1)):
        bare = record_traces(model, x[n : n + 1, :length])
        for layer in ("low", "high"):
            for name in QUANTITIES:
                np.testing.assert_allclose(
                    traces[layer][name][n, :length], bare[layer][name][0], atol=1e-6
                )
            # The padding carries the last real step's states.
            last = traces[layer]["cell"][n, length - 1]
            np.testing.assert_array_equal(
                traces[layer]["cell"][n, length:], np.broadcast_to(last, (9 - length, len(last)))
            )


@pytest.mark.parametrize("kind", ["none", "left", "rows", "random"])
def test_initial_states(kind, rng):
    model = make_stack(rng)
    low, high = (layer.name for layer in model.layers[:2])
    x = rng.normal(size=(6, 9, 4)).astype("float32")
    mask = None if kind == "none" else make_mask(kind, rng)
    state = {low: (rng.normal(size=(6, 5)), rng.normal(size=(6, 5)))}
    traces = record_traces(model, x, mask=mask, initial_state=state, batch_size=4)
    expected, below = run_layer(model.layers[0], x, mask, state[low])
    assert_trace(traces[low], expected)
    np.testing.assert_allclose(traces[low]["initial_cell"], state[low][1], atol=1e-6)
    assert_trace(traces[high], run_layer(model.layers[1], below, mask)[0])


def test_chunks_with_carried_states_equal_the_whole(rng):
    model = make_stack(rng)
    x = rng.normal(size=(3, 10, 4)).astype("float32")
    whole = record_traces(model, x)
    first = record_traces(model, x[:, :4])
    carried = {
        name: (node["hidden"].values[:, -1], node["cell"].values[:, -1])
        for name, node in first.children.items()
    }
    second = record_traces(model, x[:, 4:], initial_state=carried)
    for name in whole.children:
        for q in QUANTITIES:
            both = np.concatenate([first[name][q], second[name][q]], axis=1)
            np.testing.assert_allclose(whole[name][q], both, atol=1e-6)
    np.testing.assert_allclose(whole["outputs"], second["outputs"], atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["none", "right", "left", "middle", "rows", "random"]),
    backwards=st.booleans(),
    bias=st.booleans(),
    sequences=st.booleans(),
    zero=st.booleans(),
    implementation=st.sampled_from([1, 2]),
    activation=st.sampled_from([("tanh", np.tanh), ("relu", lambda z: np.maximum(z, 0))]),
    with_state=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_any_layer_equals_the_equations(
    kind, backwards, bias, sequences, zero, implementation, activation, with_state, seed
):
    rng = np.random.default_rng(seed)
    layer = LSTM(
        3,
        activation=activation[0],
        use_bias=bias,
        go_backwards=backwards,
        return_sequences=sequences,
        zero_output_for_mask=zero,
        name="layer",
    )
    model = shake(keras.Sequential([keras.Input((None, 2)), layer]), rng)
    x = rng.normal(size=(6, 9, 2)).astype("float32")
    mask = None if kind == "none" else make_mask(kind, rng)
    state = (rng.normal(size=(6, 3)), rng.normal(size=(6, 3))) if with_state else None
    states = {"layer": state} if with_state else None
    traces = record_traces(model, x, mask=mask, initial_state=states)
    assert_trace(traces["layer"], run_layer(layer, x, mask, state, activation[1])[0], atol=2e-5)
    residuals = check_traces(traces)
    assert max(float(residuals[name].max()) for name in residuals) < 1e-5


def test_golden_numbers_of_constant_weights():
    layer = LSTM(1, name="layer")
    model = keras.Sequential([keras.Input((2, 1)), layer])
    layer.set_weights([np.full((1, 4), 0.5), np.full((1, 4), 0.25), np.full(4, 0.1)])
    node = record_traces(model, np.ones((1, 2, 1), "float32"))["layer"]
    # sigmoid(0.6), tanh(0.6) and what follows, worked out by hand
    gate, candidate = 0.6456563062, 0.5370495670
    cell = gate * candidate
    np.testing.assert_allclose(node["input_gate"][0, 0, 0], gate, rtol=1e-6)
    np.testing.assert_allclose(node["candidate"][0, 0, 0], candidate, rtol=1e-6)
    np.testing.assert_allclose(node["cell"][0, 0, 0], 0.3467494395, rtol=1e-6)
    np.testing.assert_allclose(node["hidden"][0, 0, 0], gate * np.tanh(cell), rtol=1e-6)


# Keras warns although the mask does leave the nested model: the next layer's trace shows it.
@pytest.mark.filterwarnings("ignore:(?s).*Layer 'encoder'.*input with a mask attached")
def test_functional_nested_bidirectional_and_multiple_outputs(rng):
    inner_in = keras.Input((None, 4))
    inner = keras.Model(
        inner_in, LSTM(5, return_sequences=True, name="lstm")(inner_in), name="encoder"
    )
    inputs = keras.Input((None, 4))
    both = keras.layers.Bidirectional(LSTM(3, return_sequences=True), name="both")(inner(inputs))
    last, _, c = LSTM(2, return_state=True, name="top")(both)
    model = shake(keras.Model(inputs, {"last": last, "cell": c}), rng)
    x = rng.normal(size=(6, 9, 4)).astype("float32")
    mask = make_mask("random", rng)
    traces = record_traces(model, x, mask=mask)
    assert {n.path for n in traces.leaves} == {
        "/encoder/lstm", "/both/forward", "/both/backward", "/top",
    }  # fmt: skip
    below_trace, below = run_layer(inner.layers[-1], x, mask)
    assert_trace(traces["encoder/lstm"], below_trace)
    wrapper = model.get_layer("both")
    forward, out_f = run_layer(wrapper.forward_layer, below, mask)
    backward, out_b = run_layer(wrapper.backward_layer, below, mask)
    assert_trace(traces["both/forward"], forward)
    assert_trace(traces["both/backward"], backward)
    # Bidirectional forces zeros at masked steps.
    joined = np.concatenate([out_f, out_b], -1) * mask[..., None]
    top, out = run_layer(model.get_layer("top"), joined, mask)
    assert_trace(traces["top"], top)
    np.testing.assert_allclose(traces["outputs_last"], out[:, -1], atol=1e-5)
    np.testing.assert_allclose(traces["outputs_cell"], top["cell"][:, -1], atol=1e-5)


def test_the_model_is_unchanged(rng):
    model = shake(
        keras.Sequential(
            [
                keras.Input((7, 4), batch_size=2),
                LSTM(3, stateful=True, name="live"),
                keras.layers.Dense(1),
            ]
        ),
        rng,
    )
    x = rng.normal(size=(2, 7, 4)).astype("float32")
    layer = model.get_layer("live")
    model.predict(x, verbose=0)
    live = (*layer.states, *model.weights)
    before = [v.numpy().copy() for v in live]
    attributes = set(vars(layer))
    traces = record_traces(model, x)
    for old, new in zip(before, live, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    assert set(vars(layer)) == attributes
    # It starts from the live state, as the next predict does.
    np.testing.assert_array_equal(traces["live"]["initial_cell"], before[1])
    np.testing.assert_allclose(traces["outputs"], model.predict(x, verbose=0), atol=1e-6)
    assert not np.array_equal(before[0], layer.states[0].numpy())


def test_layers_and_quantities_are_selected(rng):
    model = make_stack(rng)
    high = model.layers[1].name
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    traces = record_traces(model, x, layers=[high], quantities=["cell"])
    assert list(traces.children) == [high]
    assert set(traces[high].data_vars) == {"cell", "initial_hidden", "initial_cell", "mask"}
    full = record_traces(model, x)
    np.testing.assert_array_equal(traces[high]["cell"], full[high]["cell"])
    with pytest.raises(ValueError, match=r"has no .*hidden"):
        check_traces(traces)


def test_a_wrong_kernel_is_caught(rng, monkeypatch):
    model = make_stack(rng)
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    true_scan = record.scan_lstm

    def swapped(cell, sequences, state, mask, **options):
        return true_scan(cell, sequences, state[::-1], mask, **options)

    monkeypatch.setattr(record, "scan_lstm", swapped)
    start = {model.layers[0].name: (np.ones((2, 5)), np.zeros((2, 5)))}
    with pytest.raises(TraceError, match=r"differs from the layer's own by"):
        record_traces(model, x, initial_state=start)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: keras.layers.GRU(3), "it is a GRU"),
        (lambda: keras.layers.RNN(keras.layers.LSTMCell(3)), "it is a RNN"),
        (lambda: LSTM(3, dtype="float64"), "float64"),
    ],
)
def test_unsupported_layers_are_refused(layer, reason, rng):
    model = keras.Sequential(
        [keras.Input((4, 2)), LSTM(3, return_sequences=True, name="ok"), layer()]
    )
    x = np.zeros((1, 4, 2), "float32")
    with pytest.raises(UnsupportedLayerError, match=reason):
        record_traces(model, x)
    assert list(record_traces(model, x, layers="ok").children) == ["ok"]


def test_a_layer_called_twice_is_refused():
    inputs = keras.Input((4, 3))
    layer = LSTM(3, return_sequences=True, name="twice")
    model = keras.Model(inputs, layer(layer(inputs)))
    with pytest.raises(UnsupportedLayerError, match="'twice' is called 2 times"):
        record_traces(model, np.zeros((1, 4, 3), "float32"))


def test_time_distributed_lstm_is_refused():
    model = keras.Sequential(
        [keras.Input((5, 4, 3)), keras.layers.TimeDistributed(LSTM(2), name="outer")]
    )
    with pytest.raises(UnsupportedLayerError, match="'outer'"):
        record_traces(model, np.zeros((1, 5, 4, 3), "float32"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "nothing*"}, "no recurrent layer matches 'nothing"),
        ({"quantities": ["hiden"]}, "hiden"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"mask": np.ones((3, 5), bool)}, "must hold the same number"),
        ({"initial_state": {"other": (0, 0)}}, "names 'other'"),
        (
            {"initial_state": {"low": (np.zeros((2, 4)), np.zeros((2, 5)))}},
            r"must each have \(2, 5\)",
        ),
    ],
)
def test_bad_arguments_are_named(options, message, rng):
    model = keras.Sequential([keras.Input((5, 4)), LSTM(5, name="low")])
    with pytest.raises(ValueError, match=message):
        record_traces(model, np.zeros((2, 5, 4), "float32"), **options)


def test_unbuilt_and_recurrence_free_models_are_refused():
    with pytest.raises(ValueError, match="no weights yet"):
        record_traces(keras.Sequential([LSTM(2)]), np.zeros((1, 2, 3), "float32"))
    dense = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="holds no recurrent layer"):
        record_traces(dense, np.zeros((1, 3), "float32"))


def test_a_mask_that_reaches_no_layer_is_refused(rng):
    """A Masking layer makes its own mask: the one given would be silently lost."""
    layers = [keras.Input((5, 4)), keras.layers.Masking(), LSTM(3)]
    model = shake(keras.Sequential(layers), rng)
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    with pytest.raises(ValueError, match="mask reaches none of the layers"):
        record_traces(model, x, mask=make_mask("middle", rng, (2, 5)))


def test_a_mask_is_for_one_input(rng):
    a, b = keras.Input((5, 4)), keras.Input((5, 4))
    model = keras.Model([a, b], LSTM(3)(keras.layers.Concatenate()([a, b])))
    x = np.zeros((2, 5, 4), "float32")
    with pytest.raises(ValueError, match=r"mask has shape \(2, 5\) for 2 inputs"):
        record_traces(model, [x, x], mask=np.ones((2, 5), bool))
    with pytest.raises(ValueError, match=r"mask has shape \(2,\)"):
        record_traces(model, [x, x], mask=np.ones(2, bool))


def test_layers_of_different_lengths_and_outputs_of_one_layer(rng):
    inputs = keras.Input((8, 4))
    low = LSTM(3, return_sequences=True, name="low")(inputs)
    shorter = keras.layers.MaxPooling1D(2)(low)
    high = LSTM(3, return_sequences=True, return_state=True, name="high")(shorter)
    model = shake(keras.Model(inputs, high), rng)
    x = rng.normal(size=(2, 8, 4)).astype("float32")
    traces = record_traces(model, x)
    assert (traces["low"].sizes["time"], traces["high"].sizes["time"]) == (8, 4)
    assert "mask" not in traces.data_vars
    for index, expected in enumerate(model(x)):
        np.testing.assert_allclose(traces[f"outputs_{index}"], expected, atol=1e-6)


def test_a_live_state_below_the_recorded_layer_needs_one_batch():
    layers = [
        keras.Input((5, 4), batch_size=4),
        keras.layers.GRU(3, stateful=True, return_sequences=True, name="live"),
        LSTM(3, name="top"),
    ]
    model = keras.Sequential(layers)
    with pytest.raises(UnsupportedLayerError, match="'live' is stateful"):
        record_traces(model, np.zeros((8, 5, 4), "float32"), layers="top", batch_size=4)


def test_two_layers_at_one_address_are_refused():
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.low = LSTM(3, return_sequences=True, name="same")
            self.high = LSTM(3, name="same")

        def call(self, x):
            return self.high(self.low(x))

    model = Pair()
    x = np.zeros((1, 4, 2), "float32")
    model(x)
    with pytest.raises(UnsupportedLayerError, match="two layers have the address 'same'"):
        record_traces(model, x)


def test_nan_is_named(rng):
    model = make_stack(rng)
    x = np.full((1, 3, 4), np.nan, "float32")
    with pytest.raises(TraceError, match="gives NaN: look for NaN in x"):
        record_traces(model, x)
