import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import (
    StreamingSession,
    TraceError,
    UnsupportedLayerError,
    accelerate,
    decelerate,
    record_gradients,
    record_traces,
)
from lstm_states.cells import GATES, QUANTITIES
from lstm_states.traces import recorder
from lstm_states.traces.derivative import differentiate
from tests.conftest import shake
from tests.lstm_states.oracle import run_layer
from tests.lstm_states.traces.models import every_mask, make_mask, make_states, run_stack

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


# What the plain stack of LSTMs does, that with `zero_output_for_mask` does, too.
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.nightly] * (case == "LSTM")) for case in CASES],
)
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


# Targets


def masked_classifier(rng):
    """A class at each step, a mask, sample weights by step."""
    layers = [L.Masking(), L.LSTM(3, return_sequences=True, name="low"), L.Dense(4)]
    model = shake(keras.Sequential([keras.Input((5, 2)), *layers]), rng)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    x = rng.normal(size=(5, 5, 2)).astype("float32")
    x[1, 3:] = x[2, :2] = 0
    return model, x, rng.integers(0, 4, (5, 5)), rng.random((5, 5)).astype("float32")


def test_the_loss_of_each_sample_over_several_batches(rng):
    model, x, y, weights = masked_classifier(rng)
    given = {"y": y, "sample_weight": weights, "output": "loss"}
    gradients = record_gradients(model, x, batch_size=2, **given)
    start = [tf.zeros((1, 3)), tf.zeros((1, 3))]
    for k in range(5):
        row = slice(k, k + 1)
        own = {"sample_weight": weights[row], "verbose": 0}
        np.testing.assert_allclose(
            gradients["chosen"][k], model.evaluate(x[row], y[row], **own), rtol=1e-5
        )
        with tf.GradientTape() as tape:  # stock Keras
            tape.watch(start)
            mask = tf.constant((x[row] != 0).any(-1))
            shown = model.get_layer("low")(x[row], initial_state=start, mask=mask)
            tape.watch(shown)
            logits = model.layers[-1](shown)
            logits._keras_mask = mask
            loss = model.loss(y[row], logits, sample_weight=weights[row])
        *by_start, by_shown = tape.gradient(loss, [*start, shown])
        for name, expected in zip(("initial_hidden", "initial_cell"), by_start, strict=True):
            np.testing.assert_allclose(gradients["low"][name][row], expected, rtol=1e-4, atol=1e-7)
        if mask.numpy()[0, -1]:
            np.testing.assert_allclose(
                gradients["low/hidden"][row, -1], by_shown[:, -1], rtol=1e-4, atol=1e-7
            )
    batches = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(2)
    streamed = record_gradients(model, batches, output="loss")
    np.testing.assert_allclose(streamed["low/cell"], gradients["low/cell"], rtol=1e-5, atol=1e-8)
    # Targets that are there for `fit` are no argument of a function that doesn't ask for them.
    unit = record_gradients(model, batches, output=lambda outputs, k=1: outputs[:, -1, k])
    np.testing.assert_allclose(unit["chosen"], unit["outputs"][:, -1, 1], rtol=1e-6)
    some = record_gradients(model, x, isel={"sample": [4, 0]}, **given)
    np.testing.assert_allclose(
        some["low/hidden"], gradients["low/hidden"][[4, 0]], rtol=1e-4, atol=1e-7
    )
    assert not model.get_layer("low").stateful


def test_a_function_is_given_targets_and_losses_of_several_outputs(rng):
    inputs = keras.Input((4, 2))
    h = L.GRU(3, name="low")(inputs)
    model = keras.Model(inputs, {"a": L.Dense(1, name="a")(h), "b": L.Dense(2, name="b")(h)})
    shake(model, rng)
    model.compile("sgd", {"a": "mse", "b": "mae"}, loss_weights={"a": 2.0, "b": 0.5})
    x = rng.normal(size=(3, 4, 2)).astype("float32")
    y = {"a": rng.normal(size=(3, 1)), "b": rng.normal(size=(3, 2))}
    by_loss = record_gradients(model, x, y=y, output="loss")

    def by_hand(outputs, y):
        squares = tf.reduce_mean((outputs["a"] - y["a"]) ** 2, -1)
        return 2 * squares + tf.reduce_mean(abs(outputs["b"] - y["b"]), -1) / 2

    by_function = record_gradients(model, x, y=y, output=by_hand)
    for name in ("hidden", "update_gate", "initial_hidden"):
        np.testing.assert_allclose(by_loss["low"][name], by_function["low"][name], rtol=1e-5)
    assert model.get_metrics_result()["loss"] == 0  # the model's own averages are left alone


def test_targets_that_do_not_fit_are_refused(rng):
    model, x, y, weights = masked_classifier(rng)
    for given, message in [
        ({"output": "loss"}, "needs targets; pass them as y="),
        ({"output": "los"}, "output is 'los'; it must be a function, 'loss' or None"),
        ({"sample_weight": weights}, "sample_weight requires targets"),
        ({"y": y[:4], "output": "loss"}, r"shape \(4, 5\) for 5 samples"),
    ]:
        with pytest.raises(ValueError, match=message):
            record_gradients(model, x, **given)
    with pytest.raises(ValueError, match="include targets in them"):
        record_gradients(model, iter([x]), y=y, output="loss")
    plain = keras.Sequential([keras.Input((5, 2)), L.GRU(1)], name="plain")
    with pytest.raises(ValueError, match="model 'plain' is not compiled with a loss"):
        record_gradients(plain, x, y=y, output="loss")


# What is compiled, and when


def test_nothing_is_compiled_again_for_another_function(rng, monkeypatch):
    compiled = []
    true = differentiate
    monkeypatch.setattr(recorder, "differentiate", lambda *a: compiled.append(1) or true(*a))
    model = shake(keras.Sequential([keras.Input((3, 2)), L.LSTM(2, name="low"), L.Dense(2)]), rng)
    x = rng.normal(size=(2, 3, 2)).astype("float32")
    unit = 0

    def number(outputs):
        return outputs[:, unit]

    first = record_gradients(model, x, output=number)
    again = record_gradients(model, x, output=number)
    unit = 1
    other = record_gradients(model, x, output=number)
    np.testing.assert_array_equal(first["low/cell"], again["low/cell"])
    expected = record_gradients(model, x, output=lambda outputs: outputs[:, 1])
    np.testing.assert_array_equal(other["low/cell"], expected["low/cell"])
    assert np.abs(other["low/cell"] - first["low/cell"]).max() > 1e-3
    assert len(compiled) == 1


class Stepwise(keras.Model):
    """A layer that is called once a step."""

    def __init__(self):
        super().__init__()
        self.lstm = L.LSTM(3, return_state=True, name="lstm")

    def call(self, x):
        states = None
        for step in range(3):
            shown, *states = self.lstm(x[:, step : step + 1], initial_state=states)
        return shown[:, :1]


def test_a_layer_called_once_a_step_has_the_derivatives_of_one_call(rng):
    model, x = Stepwise(), rng.normal(size=(2, 3, 2)).astype("float32")
    model(x)
    whole = keras.Sequential([keras.Input((3, 2)), L.LSTM(3, name="lstm")])
    whole.set_weights(shake(model, rng).get_weights())
    steps = record_gradients(model, x)["lstm"]
    expected = record_gradients(whole, x, output=lambda y: y[:, 0])["lstm"]
    for name in ("cell", *GATES):
        parts = [steps[f"call_{step}"][name].values for step in range(3)]
        np.testing.assert_allclose(np.concatenate(parts, 1), expected[name], rtol=1e-4, atol=1e-7)


def test_functions_that_run_eagerly_change_nothing(rng):
    model = shake(
        keras.Sequential([keras.Input((None, 2)), L.LSTM(2, name="low"), L.Dense(1)]), rng
    )
    x = rng.normal(size=(2, 3, 2)).astype("float32")
    compiled = record_gradients(model, x), record_traces(model, x)
    session = StreamingSession(model, samples=2)
    tf.config.run_functions_eagerly(True)
    try:
        eager = record_gradients(model, x), record_traces(model, x)
        shown = [session.step(x[:, 0]), session.run(x[:, 1:])][-1]
        fresh = StreamingSession(model, samples=2).run(x)
        accelerate(model)
        fast = model(x), record_traces(model, x)["outputs"]
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x) ** 2)
        slopes = tape.gradient(loss, model.trainable_variables)
        assert tf.config.functions_run_eagerly()
    finally:
        tf.config.run_functions_eagerly(False)
        decelerate(model)
    for one, other in zip(compiled, eager, strict=True):
        for name in ("hidden", "forget_gate"):
            np.testing.assert_allclose(other["low"][name], one["low"][name], rtol=1e-5, atol=1e-7)
    for outputs in (shown, fresh, *fast):
        np.testing.assert_allclose(outputs, compiled[1]["outputs"], rtol=1e-5, atol=1e-7)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x) ** 2)
    for one, other in zip(slopes, tape.gradient(loss, model.trainable_variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_model_that_gives_something_else_each_time_is_refused():
    # Not tf.random: where a global seed is set, both runs would draw the same numbers.
    noise = L.Lambda(lambda h: h + tf.cast(tf.sin(1e6 * tf.timestamp()), h.dtype))
    model = keras.Sequential([keras.Input((3, 2)), L.LSTM(1), noise])
    with pytest.raises(TraceError, match="returns other outputs at each run"):
        record_gradients(model, np.ones((2, 3, 2), "float32"))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, r"outputs have shapes \[\(2, 2\)\], not one number per sample"),
        (lambda y: y, r"output returns float32 of shape \(2, 2\) for 2 samples"),
        (lambda y: tf.reduce_sum(y), r"output returns float32 of shape \(\) for 2 samples"),
        (lambda y: tf.argmax(y, -1), r"output returns int64 of shape \(2,\) for 2 samples"),
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
