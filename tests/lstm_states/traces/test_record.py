import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import xarray as xr

from lstm_states import UnsupportedLayerError, check_traces, record_traces
from lstm_states.cells import QUANTITIES
from lstm_states.kernels import layer as kernel_layer
from lstm_states.kernels.fused import run_fused
from lstm_states.proof.refusals import TraceError
from lstm_states.traces import gather
from tests.conftest import shake
from tests.lstm_states.oracle import run_layer
from tests.lstm_states.traces.models import MASKS, make_mask, run_stack

LSTM = keras.layers.LSTM


def make_stack(rng, *, units=(5, 3), features=4, **options):
    layers = [keras.Input((None, features))]
    layers += [LSTM(u, return_sequences=True, **options) for u in units[:-1]]
    layers += [LSTM(units[-1], **options), keras.layers.Dense(2)]
    return shake(keras.Sequential(layers), rng)


def assert_trace(node, expected, atol=1e-5):
    for name in QUANTITIES:
        np.testing.assert_allclose(node[name], expected[name], atol=atol, err_msg=name)


def test_stack_equals_the_equations(rng):
    model = make_stack(rng, units=(5, 4, 3))
    x = rng.normal(size=(6, 9, 4)).astype("float32")
    for kind in MASKS:
        mask = make_mask(kind, rng)
        traces = record_traces(model, x, mask=mask, batch_size=3)
        expected, head = run_stack(model.layers, x, mask)
        for name, node in traces.children.items():
            assert_trace(node, expected[name])
            np.testing.assert_array_equal(
                np.isnan(node["input_gate"]).all("unit"), ~traces["mask"].values
            )
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


def test_initial_states(rng):
    model = make_stack(rng)
    low, high = (layer.name for layer in model.layers[:2])
    x = rng.normal(size=(6, 9, 4)).astype("float32")
    state = {low: (rng.normal(size=(6, 5)), rng.normal(size=(6, 5)))}
    for kind in ("none", "left", "rows", "random"):
        mask = make_mask(kind, rng)
        traces = record_traces(model, x, mask=mask, initial_state=state, batch_size=3)
        expected, _ = run_stack(model.layers, x, mask, state)
        assert_trace(traces[low], expected[low])
        assert_trace(traces[high], expected[high])
        np.testing.assert_allclose(traces[low]["initial_cell"], state[low][1], atol=1e-6)


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
    states = {f"{place}_{name}" for place in ("initial", "final") for name in ("hidden", "cell")}
    assert set(traces[high].data_vars) == {"cell", "mask", *states}
    full = record_traces(model, x)
    # Keras itself runs the layers that aren't asked for: rounding may differ.
    np.testing.assert_allclose(traces[high]["cell"], full[high]["cell"], atol=1e-6)
    assert traces.attrs["not_recorded"] == [f"{model.layers[0].name}: not asked for"]
    with pytest.raises(ValueError, match=r"has no .*hidden"):
        check_traces(traces)


def test_a_wrong_kernel_is_caught(rng, monkeypatch):
    model = make_stack(rng)
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    true_kernel = run_fused

    def swapped(cell, sequences, state, mask, **options):
        return true_kernel(cell, sequences, state[::-1], mask, **options)

    monkeypatch.setattr(kernel_layer, "run_fused", swapped)
    start = {model.layers[0].name: (np.ones((2, 5)), np.zeros((2, 5)))}
    with pytest.raises(TraceError, match=r"differ from the layer's own by"):
        record_traces(model, x, initial_state=start)


class Projected(keras.layers.Layer):
    """Carries a wide and a narrow state."""

    state_size = (3, 2)
    output_size = 2

    def call(self, inputs, states):
        wide, narrow = states
        return narrow, [wide + inputs, narrow + inputs[:, :2]]


class OwnLoop(LSTM):
    def inner_loop(self, sequences, initial_state, mask, training=False):
        return sequences[:, -1], sequences, initial_state


class Doubling(keras.layers.StackedRNNCells):
    def call(self, inputs, states, training=False, **kwargs):
        output, states = super().call(inputs, states, training=training, **kwargs)
        return output * 2, states


class AlwaysDropping(LSTM):
    def call(self, sequences, initial_state=None, mask=None, training=False):
        return super().call(sequences, initial_state=initial_state, mask=mask, training=True)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: keras.layers.RNN(Doubling([keras.layers.GRUCell(3)])), "Doubling overrides call"),
        (lambda: keras.layers.RNN(Projected()), "its cell is a Projected"),
        (lambda: keras.layers.RNN([keras.layers.GRUCell(3), Projected()]), "is a Projected"),
        (lambda: OwnLoop(3), "OwnLoop overrides inner_loop"),
        (
            lambda: keras.layers.RNN(
                [keras.layers.GRUCell(3, name="a"), keras.layers.GRUCell(3, name="a")]
            ),
            "two of its cells have the same name",
        ),
    ],
)
def test_unsupported_layers_are_refused(layer, reason, rng):
    model = keras.Sequential(
        [keras.Input((4, 3)), LSTM(3, return_sequences=True, name="ok"), layer()]
    )
    x = np.zeros((1, 4, 3), "float32")
    with pytest.raises(UnsupportedLayerError, match=reason):
        record_traces(model, x)
    assert list(record_traces(model, x, layers="ok").children) == ["ok"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "nothing*"}, "no recurrent layer matches 'nothing"),
        ({"quantities": ["hiden"]}, "hiden"),
        ({"quantities": []}, r"quantities is \[\]; allowed are some of"),
        ({"quantities": 3}, "quantities is 3; allowed"),
        ({"quantities": [["hidden"]]}, r"quantities is \[\['hidden'\]\]; allowed"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2.0}, r"batch_size is 2\.0; it must be an integer"),
        ({"initial_state": [0, 0]}, "initial_state is a list; it must be a dict"),
        ({"mask": [[True, False]]}, r"x and mask hold \[1, 2\] samples"),
        ({"mask": np.ones((3, 5), bool)}, "must hold the same number"),
        ({"initial_state": {"other": (0, 0)}}, "names 'other'"),
        (
            {"initial_state": {"low": (np.zeros((2, 4)), np.zeros((2, 5)))}},
            r"hidden of .low., cell of .low. must have \[\(2, 5\), \(2, 5\)\]",
        ),
    ],
)
def test_bad_arguments_are_named(options, message, rng):
    model = keras.Sequential([keras.Input((5, 4)), LSTM(5, name="low")])
    with pytest.raises(ValueError, match=message):
        record_traces(model, np.zeros((2, 5, 4), "float32"), **options)


def test_a_sequence_of_no_steps_is_refused():
    model = keras.Sequential([keras.Input((None, 4)), LSTM(5)])
    with pytest.raises(ValueError, match=r"x has an array of shape \(2, 0, 4\)"):
        record_traces(model, np.zeros((2, 0, 4), "float32"))


def test_samples_of_a_file_in_any_order(tmp_path, rng):
    model = shake(keras.Sequential([keras.Input((5, 4)), LSTM(3, name="lstm")]), rng)
    x, samples = rng.normal(size=(6, 5, 4)).astype("float32"), [4, 0, 4, 2]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        traces = record_traces(model, file.create_dataset("x", data=x), isel={"sample": samples})
    expected = record_traces(model, x[samples])["lstm/cell"]
    np.testing.assert_array_equal(traces["lstm/cell"], expected)


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


def test_calls_inside_one_of_several_nested_models_stay_together(rng):
    a, b = keras.Input((5, 4)), keras.Input((5, 4))
    layer = LSTM(3, name="lstm")
    first, second = (keras.Model(a, layer(a), name=name) for name in ("first", "second"))
    model = shake(keras.Model([a, b], [first(a), second(a), first(b)]), rng)
    x = [rng.normal(size=(2, 5, 4)).astype("float32") for _ in range(2)]
    calls = record_traces(model, x)["first/lstm"].children.values()
    shown = [np.asarray(layer(x[place])) for place in (0, 1, 0)]
    for call, expected in zip(calls, shown, strict=True):
        np.testing.assert_allclose(call["final_hidden"], expected, atol=1e-6)


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


def test_lengths_may_differ_from_call_to_call_below_time_distributed(rng):
    """Keras's own predict gives 2 steps, as many as samples, from the second length on."""
    low = LSTM(3, return_sequences=True, name="low")
    head = keras.layers.TimeDistributed(keras.layers.Dense(2))
    model = shake(keras.Sequential([keras.Input((None, 4)), low, head]), rng)
    for steps in (5, 4, 3):
        x = rng.normal(size=(2, steps, 4)).astype("float32")
        outputs = record_traces(model, x, quantities=["hidden"])["outputs"]
        np.testing.assert_allclose(outputs, model(x), atol=1e-6)


def test_a_layer_that_drops_units_when_it_predicts_is_refused():
    model = keras.Sequential([keras.Input((4, 3)), AlwaysDropping(3, dropout=0.5)])
    with pytest.raises(UnsupportedLayerError, match="applies dropout in prediction"):
        record_traces(model, np.zeros((1, 4, 3), "float32"))


def test_selections_that_print_alike_are_told_apart(rng):
    model = shake(keras.Sequential([keras.Input((None, 1)), LSTM(2, name="low")]), rng)
    x = rng.normal(size=(1, 1500, 1)).astype("float32")
    first = np.arange(1200)
    second = first.copy()
    second[600:602] = 1400, 1300
    for isel in (first, second):
        node = record_traces(model, x, isel={"time": isel}, quantities=["cell"])["low"]
        np.testing.assert_array_equal(node["time"], isel)


TAKEN = (
    "time",
    "sample",
    "unit",
    "row",
    "mask",
    "chosen",
    "outputs",
    "outputs_x",
    ".",
    "zarr.json",
)


def test_layers_of_names_that_the_tree_needs_get_an_underscore(rng, tmp_path):
    layers = [LSTM(2, return_sequences=True, name=name) for name in TAKEN]
    model = shake(keras.Sequential([keras.Input((4, 3)), *layers]), rng)
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    options = {"quantities": "hidden", "isel": {"time": slice(0, 4)}}
    stored = record_traces(model, x, store=tmp_path / "states.zarr", **options)
    assert list(stored.children) == [f"{name}_" for name in TAKEN]
    np.testing.assert_allclose(stored["zarr.json_"]["hidden"], stored["outputs"], atol=1e-6)
    last = record_traces(model, x, layers=layers[-1], **options)
    assert [leaf.path for leaf in last.leaves] == ["/zarr.json_"]
    assert last["zarr.json_"]["hidden"].equals(stored["zarr.json_"]["hidden"].load())


def test_layers_of_different_lengths_keep_their_own_last_steps(rng, tmp_path):
    low, high = LSTM(5, name="low"), LSTM(5, return_sequences=True, name="high")
    layers = [keras.Input((7, 3)), low, keras.layers.RepeatVector(4), high]
    model, x = shake(keras.Sequential(layers), rng), rng.normal(size=(2, 7, 3)).astype("float32")
    whole = record_traces(model, x)
    traces = record_traces(model, x, isel={"time": slice(-2, None)}, store=tmp_path / "a.zarr")
    for name, steps in {"low": [5, 6], "high": [2, 3]}.items():
        np.testing.assert_array_equal(traces[name]["time"], steps)
        np.testing.assert_array_equal(traces[name]["cell"], whole[name]["cell"][:, steps])
    np.testing.assert_array_equal(traces["outputs"], whole["outputs"])


def test_a_layer_that_loses_the_number_of_samples(rng):
    words = keras.layers.TextVectorization(output_sequence_length=5, vocabulary=["a", "b", "c"])
    layers = [words, keras.layers.Embedding(9, 3), LSTM(2, name="lstm")]
    model = keras.Sequential([keras.Input((), dtype="string"), *layers])
    text = tf.constant(["a b", "c", "b c a"])
    traces = record_traces(model, text, batch_size=2)
    assert traces["lstm/cell"].dims == ("sample", "time", "unit")
    np.testing.assert_allclose(traces["outputs"], model(text), atol=1e-6)


class MaskedByFeature(keras.layers.Layer):
    """Gives its layer a mask with an axis of features."""

    def __init__(self, features):
        super().__init__()
        self.features, self.lstm = features, LSTM(2, return_sequences=True, name="lstm")

    def call(self, x):
        return self.lstm(x, mask=tf.repeat(tf.abs(x[..., :1]) > 0.5, self.features, 2))


def test_masks_with_an_axis_of_features(rng):
    x = rng.normal(size=(3, 6, 4)).astype("float32")
    model = keras.Sequential([keras.Input((6, 4)), MaskedByFeature(1)])
    traces = record_traces(model, x)
    np.testing.assert_array_equal(traces.leaves[0]["mask"], np.abs(x[..., 0]) > 0.5)
    np.testing.assert_allclose(traces["outputs"], model.predict(x, verbose=0), atol=1e-6)
    model = keras.Sequential([keras.Input((6, 4)), MaskedByFeature(2)])
    with pytest.raises(UnsupportedLayerError, match=r"lstm' receives a mask of shape \(3, 6, 2\)"):
        record_traces(model, x)


class Bare(keras.Model):
    """Says nowhere what it takes."""

    def __init__(self):
        super().__init__()
        self.lstm = LSTM(2, name="lstm")

    def call(self, x, mask=None):
        return self.lstm(x, mask=mask)


def test_shapes_that_do_not_fit_are_named_after_a_good_call_too(rng):
    x = rng.normal(size=(3, 6, 4)).astype("float32")
    given = keras.Input((6, 4), name="x")
    model, bare = keras.Model(given, LSTM(2)(given)), Bare()
    sequential = keras.Sequential([keras.Input((6, 4), name="x"), LSTM(2, name="lstm")])
    bare(x)
    for own in (model, bare, sequential):
        record_traces(own, x)
        with pytest.raises(ValueError, match=r"mask has shape \(3, 5\), but x has \(3, 6, 4\)"):
            record_traces(own, x, mask=np.ones((3, 5), bool))
    for wrong in (x[..., :3], x[:, :5], x[0], np.ones((3, 6), int)):
        with pytest.raises(
            ValueError, match=r"input 'x' .* receives \(.*; it expects \(None, 6, 4\)"
        ):
            record_traces(model, wrong)
    for own in (bare, sequential):
        with pytest.raises(ValueError, match=r"'lstm' receives \(3, 6, 3\); .* \(batch, time, 4\)"):
            record_traces(own, x[..., :3])
    longer = np.concatenate([x, x], 1)  # Keras holds a Functional model alone to a length
    np.testing.assert_allclose(
        record_traces(sequential, longer)["outputs"], sequential(longer), atol=1e-6
    )


def test_only_what_was_asked_for_is_held(rng):
    layers = [LSTM(3, return_sequences=True, name="lstm"), keras.layers.Dense(7)]
    model = shake(keras.Sequential([keras.Input((6, 4)), *layers]), rng)
    x = rng.normal(size=(3, 6, 4)).astype("float32")
    whole = record_traces(model, x)
    one = record_traces(model, x, quantities="cell", isel={"time": [2]})
    assert one["outputs"].dims == ("sample", "time", "outputs_axis_0")
    np.testing.assert_allclose(one["outputs"], whole["outputs"][:, [2]], atol=1e-6)
    np.testing.assert_allclose(one["lstm/cell"], whole["lstm/cell"][:, [2]], atol=1e-6)
    assert set(one["lstm"].data_vars) & set(QUANTITIES) == {"cell"}
    none = record_traces(model, x, quantities="cell", isel={"time": [2]}, outputs=False)
    assert set(none.data_vars) == {"mask"}
    assert none["lstm"].identical(one["lstm"])


def test_nested_layers_are_indexed_and_chosen(rng):
    both = keras.layers.Bidirectional(LSTM(2, return_sequences=True), name="both")
    top = LSTM(3, name="top")
    model = shake(keras.Sequential([keras.Input((6, 4)), both, top]), rng)
    x = rng.normal(size=(3, 6, 4)).astype("float32")
    traces = record_traces(model, x)
    cell = traces["both/backward/cell"].values
    for index, expected in [
        ({"sample": 1}, cell[1]),
        ({"time": slice(1, 3)}, cell[:, 1:3]),
        ({"sample": [2, 0], "time": 4}, cell[[2, 0], 4]),
    ]:
        np.testing.assert_array_equal(traces.isel(index)["both/backward/cell"], expected)
    # By position, whatever number Keras gave a name.
    assert traces.attrs["layers"] == ["both/forward", "both/backward", "top"]
    for wanted, addresses in [
        (both, ["both/forward", "both/backward"]),
        ([top, "both/forward"], ["both/forward", "top"]),
    ]:
        assert record_traces(model, x, layers=wanted).attrs["layers"] == addresses
    with pytest.raises(ValueError, match=r"layers is empty; available are \['both/forward'"):
        record_traces(model, x, layers=[])
    with pytest.raises(ValueError, match="no recurrent layer matches <LSTM name=other"):
        record_traces(model, x, layers=LSTM(2, name="other"))


@pytest.mark.parametrize(
    "nest",
    [
        lambda a, b: {"x": {"y_z": a}, "x_y": {"z": b}},
        lambda a, b: {"a": a, "a_axis_0": b},
        lambda a, b: {"a/b": a, "c": b},
    ],
)
def test_outputs_whose_keys_would_meet_are_numbered(nest, rng):
    inputs = keras.Input((4, 3))
    hidden = LSTM(2, name="lstm")(inputs)
    outputs = nest(keras.layers.Dense(2)(hidden), keras.layers.Dense(3)(hidden))
    model, x = keras.Model(inputs, outputs), rng.normal(size=(2, 4, 3)).astype("float32")
    traces = record_traces(model, x)
    for number, expected in enumerate(keras.tree.flatten(model(x))):
        np.testing.assert_allclose(traces[f"outputs_{number}"], expected, atol=1e-6)


def test_a_node_leaves_to_the_root_the_labels_that_both_have(rng):
    layer = keras.layers.Bidirectional(LSTM(2, return_sequences=True), name="both")
    model = keras.Sequential([keras.Input((5, 3)), layer, LSTM(2, name="top")])
    traces = record_traces(model, rng.normal(size=(2, 5, 3)).astype("float32"), isel={"time": [1]})
    again = xr.DataTree.from_dict({n.path: n.to_dataset() for n in traces.subtree})
    assert [n.path for n in traces.subtree] == [n.path for n in again.subtree]
    for node, expected in zip(traces.subtree, again.subtree, strict=True):
        own, due = (tree.to_dataset(inherit=False) for tree in (node, expected))
        assert own.identical(due)
        assert set(own.coords) == ({"time", "sample"} if node is traces else set())


def test_threads_copy_what_is_copied_without_them(rng, monkeypatch):
    model = make_stack(rng)
    x = rng.normal(size=(20, 7, 4)).astype("float32")
    alone = record_traces(model, x)
    monkeypatch.setattr(gather, "LEAST_BYTES", 0)
    assert record_traces(model, x).identical(alone)
