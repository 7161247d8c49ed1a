import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import UnsupportedLayerError, record_gradients, record_traces
from lstm_states.schema import GATES, QUANTITIES
from tests.conftest import shake
from tests.oracle import run_layer
from tests.traces.models import every_mask, make_mask, make_states, run_stack

L = keras.layers
STEP = 1e-5
CASES = {
    "LSTM": ([L.LSTM, L.LSTM], True, {}),
    "go_backwards": ([L.LSTM, L.LSTM], False, {"go_backwards": True}),
    "zero_output_for_mask": ([L.LSTM, L.LSTM], True, {"zero_output_for_mask": True}),
    "GRU over SimpleRNN": ([L.SimpleRNN, L.GRU], False, {}),
    "GRU that resets before, over LSTM": ([L.LSTM, L.GRU], True, {"reset_after": False}),
}
"""Layers from the bottom up, whether the head is at each step, options of the layers."""


def make_stack(rng, classes, *, options=None, sequences=True):
    """Two recurrent layers of 3 and 2 units and a head, in float64, their weights random."""
    layers = [keras.Input((None, 3))]
    for kind, units, seq in zip(classes, (3, 2), (True, sequences), strict=True):
        own = {k: v for k, v in (options or {}).items() if k != "reset_after" or kind is L.GRU}
        layers.append(kind(units, return_sequences=seq, name=f"rnn_{units}", **own))
    return shake(keras.Sequential([*layers, L.Dense(2)]), rng)


def differ(number, shapes):
    """Return central differences of ``number(perturbations)`` by every place of ``shapes``.

    Args:
        number: Takes arrays by key, returns ``(sample,)``.
        shapes: ``(sample, ...)`` by key; all samples are moved at once, as none touches another.
    """
    derivatives = {key: np.zeros(shape) for key, shape in shapes.items()}
    for key, shape in shapes.items():
        for place in np.ndindex(shape[1:]):
            moved = np.zeros(shape)
            moved[(slice(None), *place)] = STEP
            rise = number({key: moved}) - number({key: -moved})
            derivatives[key][(slice(None), *place)] = rise / (2 * STEP)
    return derivatives


def assert_gradients(gradients, mask, number):
    """Compare all derivatives with differences of ``number``, which takes ``(layer, name)``."""
    shapes = {
        (layer, str(name)): variable.shape
        for layer, node in gradients.children.items()
        for name, variable in node.data_vars.items()
        if name != "mask"
    }
    for (layer, name), expected in differ(number, shapes).items():
        if mask is not None and name in (*GATES, "update_gate", "reset_gate"):
            expected[~mask] = np.nan
        np.testing.assert_allclose(
            gradients[layer][name], expected, rtol=1e-6, atol=1e-8, err_msg=f"{layer} {name}"
        )


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_finite_differences(case, rng):
    classes, sequences, options = CASES[case]
    model = make_stack(rng, classes, options=options, sequences=sequences)
    x, mask = rng.normal(size=(6, 6, 3)), every_mask(6)
    states = {layer.name: make_states(layer, rng, 6) for layer in model.layers[:2]}
    weights = rng.normal(size=(6, 2) if sequences else (2,))

    def output(y):
        return tf.reduce_sum(y * weights, axis=[1, 2] if sequences else [1])

    options = {"mask": mask, "initial_state": states}
    gradients = record_gradients(model, x, output=output, **options)

    def number(moves):
        start = {key: [np.array(s) for s in own] for key, own in states.items()}
        added = {}
        for (layer, name), move in moves.items():
            if name.startswith("initial"):
                start[layer][name == "initial_cell"] += move
            else:
                added = {layer: {name: move}}
        y = run_stack(model.layers, x, mask, start, added)[1]
        return (y * weights).reshape(6, -1).sum(1)

    assert_gradients(gradients, mask, number)
    np.testing.assert_allclose(gradients["chosen"], number({}), rtol=1e-12)
    assert gradients["outputs"].shape == (6, *weights.shape)


@pytest.mark.usefixtures("float64")
def test_stacked_cells_equal_finite_differences(rng):
    layer = L.RNN([L.LSTMCell(3, name="low"), L.GRUCell(2, name="high")], name="rnn")
    model = shake(keras.Sequential([keras.Input((5, 3)), layer]), rng)
    x, mask = rng.normal(size=(3, 5, 3)), make_mask("random", rng, (3, 5))
    options = {"output": lambda y: y[:, 1], "mask": mask}
    gradients = record_gradients(model, x, **options)["rnn"]

    def number(moves):
        starts = {cell.name: None for cell in layer.cell.cells}
        added, below = {}, x
        for (cell, name), move in moves.items():
            if name.startswith("initial"):
                zeros = np.zeros_like(move)
                both = [move, zeros] if name == "initial_hidden" else [zeros, move]
                starts[cell] = both if cell == "low" else [move]
            else:
                added = {cell: {name: move}}
        for cell in layer.cell.cells:
            below = run_layer(cell, below, mask, starts[cell.name], added=added.get(cell.name))[1]
        return below[:, -1, 1]

    assert_gradients(gradients, mask, number)


def test_gradient_by_the_cell_state_is_the_product_of_later_forget_gates(rng):
    """Without recurrent weights the cell state is all that a step leaves to the next."""
    layer = L.LSTM(3, return_state=True, name="lstm")
    model = shake(keras.Sequential([keras.Input((8, 2)), layer]), rng)
    kernel, recurrent_kernel, bias = layer.get_weights()
    layer.set_weights([kernel, np.zeros_like(recurrent_kernel), bias])
    x = rng.normal(size=(5, 8, 2)).astype("float32")
    gradients = record_gradients(model, x, output=lambda y: y[2][:, 1])["lstm"]
    forget = record_traces(model, x)["lstm/forget_gate"].values[..., 1]
    later = np.cumprod(forget[:, ::-1], axis=1)[:, ::-1]
    kept = np.concatenate([later[:, 1:], np.ones((5, 1))], axis=1)
    np.testing.assert_allclose(gradients["cell"].sel(unit=1), kept, rtol=1e-5)
    np.testing.assert_allclose(gradients["initial_cell"][:, 1], later[:, 0], rtol=1e-5)
    assert not gradients["cell"].sel(unit=[0, 2]).any()
    assert not gradients["hidden"].any()


def test_gradients_reach_from_a_decoder_into_its_encoder(rng):
    inputs = keras.Input((6, 2))
    _, h, c = L.LSTM(3, return_state=True, name="encoder")(inputs)
    start = L.Reshape((1, 3))(h)
    decoded = L.LSTM(3, name="decoder")(start, initial_state=[h, c])
    model = shake(keras.Model(inputs, L.Dense(1)(decoded)), rng)
    x = rng.normal(size=(4, 6, 2)).astype("float32")
    gradients, traces = record_gradients(model, x), record_traces(model, x)
    decoder, encoder = gradients["decoder"], gradients["encoder"]
    assert not np.allclose(decoder["initial_hidden"], encoder["hidden"][:, -1])  # also the input
    last = {name: traces["encoder"][name].values[:, -1] for name in QUANTITIES}
    through_h = encoder["hidden"][:, -1] * last["output_gate"] * (1 - np.tanh(last["cell"]) ** 2)
    np.testing.assert_allclose(
        encoder["cell"][:, -1], decoder["initial_cell"] + through_h, rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(gradients["chosen"], model.predict(x, verbose=0)[:, 0], atol=1e-6)


@pytest.mark.usefixtures("float64")
def test_each_call_of_a_layer_has_derivatives_of_its_own(rng):
    a, b = keras.Input((4, 2)), keras.Input((4, 2))
    layer = L.LSTM(3, name="shared")
    first, second = layer(a), layer(b)
    model = shake(keras.Model([a, b], [first, second]), rng)
    x = [rng.normal(size=(2, 4, 2)) for _ in range(2)]
    gradients = record_gradients(model, x, output=lambda y: y[0][:, 0] + 2 * y[1][:, 1])["shared"]
    for call, (inputs, unit, factor) in enumerate([(x[0], 0, 1), (x[1], 1, 2)]):

        def number(moves, inputs=inputs, unit=unit, factor=factor):
            return factor * run_layer(layer, inputs, added=moves)[1][:, -1, unit]

        for name, alone in differ(number, dict.fromkeys(QUANTITIES, (2, 4, 3))).items():
            np.testing.assert_allclose(gradients[f"call_{call}"][name], alone, rtol=1e-6, atol=1e-9)


def test_parts_selections_and_layers_change_no_number(rng):
    """Sixteen samples and more are computed in parts side by side."""
    wrapper = L.Bidirectional(L.LSTM(3), name="both")
    model = shake(keras.Sequential([keras.Input((7, 2)), wrapper, L.Dense(1)]), rng)
    x = rng.normal(size=(40, 7, 2)).astype("float32")
    x[3, 4:] = np.nan  # padding may hold anything
    mask = make_mask("right", rng, (40, 7))
    mask[3] = np.arange(7) < 4
    whole = record_gradients(model, x, mask=mask)
    some = record_gradients(
        *(model, x),
        mask=mask,
        layers="both/*",
        quantities=["cell"],
        isel={"sample": [3, 30], "time": slice(1, 6), "unit": [2]},
    )
    assert [leaf.path for leaf in some.leaves] == ["/both/forward", "/both/backward"]
    for side in ("forward", "backward"):
        node, cut = whole["both"][side], some["both"][side]
        assert set(cut.data_vars) == {"cell", "mask", "initial_hidden", "initial_cell"}
        expected = node["cell"].isel(sample=[3, 30], time=slice(1, 6), unit=[2])
        assert np.isfinite(expected).all()
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(cut["cell"], expected, rtol=1e-4, atol=1e-7)
    assert list(some["both/forward"]["time"].values) == [1, 2, 3, 4, 5]
    gates = whole["both/backward/output_gate"]
    np.testing.assert_array_equal(np.isnan(gates).all("unit"), ~mask)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, r"outputs have shapes \[\(2, 2\)\], not one number per sample"),
        (lambda y: y, r"output gives float32 of shape \(2, 2\) for 2 samples"),
        (lambda y: tf.reduce_sum(y), r"output gives float32 of shape \(\) for 2 samples"),
        (lambda y: tf.argmax(y, -1), r"output gives int64 of shape \(2,\) for 2 samples"),
        (lambda y: tf.zeros(2), r"depends on none of the layers \['low'\]"),
    ],
    ids=["none", "too many", "one for all", "integers", "constant"],
)
def test_what_is_no_number_per_sample_is_refused(output, message, rng):
    model = keras.Sequential([keras.Input((5, 4)), L.LSTM(2, name="low")])
    with pytest.raises(ValueError, match=message):
        record_gradients(model, np.zeros((2, 5, 4), "float32"), output=output)


def test_half_precision_is_refused():
    policy = keras.DTypePolicy("mixed_bfloat16")
    model = keras.Sequential([keras.Input((5, 4)), L.LSTM(1, name="low", dtype=policy)])
    with pytest.raises(UnsupportedLayerError, match="'low' computes in bfloat16"):
        record_gradients(model, np.zeros((2, 5, 4), "float32"))
