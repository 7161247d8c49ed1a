"""An accelerated model gives what stock Keras gives, and stays a stock model."""

import copy
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from lstm_states import accelerate, decelerate, record_traces
from lstm_states.acceleration import FAST
from lstm_states.kernels import layer as kernel_layer
from lstm_states.kernels.block import _few_lengths, block_lstm
from tests.conftest import shake
from tests.oracle import run_layer
from tests.traces.models import MASKS, make_mask, make_states

L = keras.layers
LSTM = L.LSTM


def make_stack(*layers, steps=7, batch=None, seed=0):
    """Return a model of the layers over 3 features, its weights random."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((steps, 3), batch_size=batch), *layers])
    return shake(model, np.random.default_rng(seed))


def gradients(function, inputs, weights, signature):
    """Return the outputs of a traced function, and the gradients of a number made of them."""

    @tf.function(input_signature=signature)
    def traced(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = keras.tree.flatten(function(*inputs))
            # Every element has a gradient of its own.
            number = sum(
                tf.reduce_sum(
                    y * tf.cos(tf.reshape(tf.range(tf.size(y), dtype=y.dtype), tf.shape(y)))
                )
                for y in outputs
            )
        return outputs, tape.gradient(number, [*inputs, *weights], unconnected_gradients="zero")

    return [value.numpy() for value in keras.tree.flatten(traced(*inputs))]


def assert_equal(found, expected, tolerance=3e-6):
    assert len(found) == len(expected)
    for ours, stock in zip(found, expected, strict=True):
        scale = 1 + np.abs(stock).max(initial=0)
        np.testing.assert_allclose(ours, stock, rtol=0, atol=tolerance * scale)


# The same numbers


@given(
    samples=st.sampled_from([1, 3, 17, 40]),
    steps=st.integers(1, 9),
    known=st.tuples(st.booleans(), st.booleans()),
    kind=st.sampled_from(MASKS),
    bidirectional=st.booleans(),
    state_given=st.booleans(),
    options=st.fixed_dictionaries(
        {
            "units": st.integers(1, 5),
            "use_bias": st.booleans(),
            "implementation": st.sampled_from([1, 2]),
            "go_backwards": st.booleans(),
            "zero_output_for_mask": st.booleans(),
            "return_sequences": st.booleans(),
        }
    ),
    seed=st.integers(0, 2**16),
)
def test_outputs_states_and_gradients_are_those_of_stock_keras(
    samples, steps, known, kind, bidirectional, state_given, options, seed
):
    keras.backend.clear_session()
    rng = np.random.default_rng(seed)
    start = keras.Input((None, 3))
    if bidirectional:
        options |= {"go_backwards": False}
        layer = L.Bidirectional(LSTM(**options, return_state=True))
    else:
        layer = LSTM(**options, return_state=True)
    model = shake(keras.Model(start, layer(start)), rng)
    x = rng.normal(size=(samples, steps, 3)).astype("float32")
    mask = make_mask(kind, rng, (samples, steps)) if steps > 1 else None
    count = (4 if bidirectional else 2) if state_given else 0
    shape = (samples, options["units"])
    states = [rng.normal(size=shape).astype("float32") for _ in range(count)]

    def function(x, *states):
        return layer(x, initial_state=list(states) or None, mask=mask, training=True)

    batch = samples if known[0] else None
    signature = [tf.TensorSpec((batch, steps if known[1] else None, 3))]
    signature += [tf.TensorSpec((batch, options["units"]))] * count
    arguments = function, [x, *states], layer.trainable_weights, signature
    stock = gradients(*arguments)
    assert set(accelerate(model).values()) == {FAST}
    assert_equal(gradients(*arguments), stock)


@pytest.mark.parametrize("kind", MASKS)
def test_gradients_are_the_slopes_of_the_equations(rng, kind):
    layer = LSTM(4, return_sequences=True)
    model = make_stack(layer)
    accelerate(model)
    mask = make_mask(kind, rng, (5, 7))
    arguments = [rng.normal(size=(5, 7, 3)), *make_states(layer, rng, 5)]
    weights = [w.astype("float64") for w in layer.get_weights()]
    arguments += weights
    factors = rng.normal(size=(5, 7, 4))

    def loss(x, h, c, *weights):
        layer.set_weights(weights)
        _, shown = run_layer(layer, x, mask, state=(h, c))
        return (factors * shown).sum()

    def loss_of_tensors(x, h, c):
        shown = layer(x, initial_state=[h, c], mask=mask)
        return tf.reduce_sum(tf.cast(factors, "float32") * shown)

    inputs = [tf.constant(a, "float32") for a in arguments[:3]]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        number = loss_of_tensors(*inputs)
    found = tape.gradient(number, [*inputs, *layer.trainable_weights])
    for n, gradient in enumerate(found):
        direction = rng.normal(size=gradient.shape)
        two = []
        for sign in (1, -1):
            moved = list(arguments)
            moved[n] = arguments[n] + sign * 1e-3 * direction
            two.append(loss(*moved))
        slope = (two[0] - two[1]) / 2e-3
        # The weights are kept in float32, which the slope feels.
        np.testing.assert_allclose(
            (gradient.numpy() * direction).sum(), slope, atol=2e-3, rtol=1e-3
        )


def test_second_derivatives_are_those_of_stock_keras(rng):
    model = make_stack(LSTM(4, return_sequences=True), LSTM(3), L.Dense(1))
    x = tf.constant(rng.normal(size=(5, 7, 3)), "float32")

    @tf.function
    def penalty(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = model(x)
            slopes = tf.reduce_sum((100 * inner.gradient(y, x)) ** 2)
        weights = [weight.value for weight in model.trainable_weights]
        return outer.gradient(slopes, [x, *weights], unconnected_gradients="zero")

    stock = [value.numpy() for value in penalty.get_concrete_function(x)(x)]
    accelerate(model)
    fast = [value.numpy() for value in tf.function(penalty.python_function)(x)]
    assert all(np.abs(value).max() > 0.1 for value in stock[:-1])  # the last one's is 0
    assert_equal(fast, stock)


def persistent_slopes(model, x):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        number = tf.reduce_sum(model(x) ** 2)
        slopes = tape.gradient(number, x)
        penalty = tf.reduce_sum((100 * slopes) ** 2)
    return slopes, tape.gradient(penalty, [x, *[w.value for w in model.trainable_weights]])


def slopes_in_a_branch(model, x):
    @tf.function
    def traced(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cond(tf.reduce_sum(x) > -1e9, lambda: model(x), lambda: tf.zeros([len(x), 1]))
        return y, tape.gradient(y, [x, *[w.value for w in model.trainable_weights]])

    return traced(x)


def slopes_of_unknown_shape(model, x):
    @tf.function(input_signature=[tf.TensorSpec([None, None, None])])
    def traced(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model.layers[0](x, mask=x[..., 0] > 0)
        return y, tape.gradient(y, x)

    return traced(x)


@pytest.mark.parametrize(
    "differentiate", [persistent_slopes, slopes_in_a_branch, slopes_of_unknown_shape]
)
def test_every_way_to_differentiate(rng, differentiate):
    model = make_stack(LSTM(4, return_sequences=True), LSTM(3), L.Dense(1))
    x = tf.constant(rng.normal(size=(5, 7, 3)), "float32")
    stock = differentiate(model, x)
    accelerate(model)
    fast = differentiate(model, x)
    found, expected = ([np.asarray(v) for v in keras.tree.flatten(one)] for one in (fast, stock))
    assert_equal(found, expected)


def test_a_gradient_through_a_gate_of_the_kernel_is_refused(rng):
    cell = L.LSTMCell(4)
    cell.build((None, 3))
    x, state = tf.ones((7, 5, 3)), tf.zeros((5, 4))
    with tf.GradientTape() as tape:
        tape.watch(x)
        gate = block_lstm(cell, x, (state, state), None).values["forget_gate"]
    with pytest.raises(LookupError, match="no gradient goes through the gates"):
        tape.gradient(gate, x)


def test_masked_nan_leaves_the_gradients_finite(rng):
    layer = LSTM(4)
    model = make_stack(layer)
    accelerate(model)
    x = rng.normal(size=(5, 7, 3)).astype("float32")
    mask = make_mask("right", rng, (5, 7))
    clean = np.where(mask[..., None], x, 0)
    dirty = np.where(mask[..., None], x, np.nan)
    found = []
    for values in (clean, dirty):
        with tf.GradientTape() as tape:
            y = tf.reduce_sum(layer(values, mask=mask))
        found.append([value.numpy() for value in tape.gradient(y, layer.trainable_weights)])
    assert_equal(found[1], found[0], 0)


def training_data(rng, samples=150):
    x = rng.normal(size=(samples, 7, 3)).astype("float32")
    x[rng.random((samples, 7)) < 0.2] = 0
    return x, x.sum((1, 2))[:, None] + x[:, -1, :1]


MODELS = {
    "stack": lambda: [LSTM(8, return_sequences=True), LSTM(4), L.Dense(1)],
    "masked": lambda: [L.Masking(), LSTM(8, return_sequences=True), LSTM(4), L.Dense(1)],
    "bidirectional": lambda: [L.Masking(), L.Bidirectional(LSTM(5)), L.Dense(1)],
    "dropout": lambda: [LSTM(8, dropout=0.3, return_sequences=True), LSTM(4), L.Dense(1)],
    "nested": lambda: [
        keras.Sequential([LSTM(6, return_sequences=True), LSTM(4)], name="inner"),
        L.Dense(1),
    ],
    "stateful": lambda: [LSTM(6, stateful=True, return_sequences=True), LSTM(4), L.Dense(1)],
}


def fitted(name, fast, data, **options):
    """Train one model; return it with its history and predictions."""
    stateful = name == "stateful"
    keras.utils.set_random_seed(0)  # the layers draw their seeds when they are made
    model = make_stack(*MODELS[name](), batch=30 if stateful else None)
    compiled = {key: options.pop(key) for key in list(options) if key in COMPILED}
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], **compiled)
    if fast:
        assert FAST in accelerate(model).values()
    x, y = data
    options = {"batch_size": 30 if stateful else 32, "epochs": 3, "verbose": 0} | options
    options["shuffle"] = not stateful
    validation = None if stateful else (x[:40], y[:40])
    history = model.fit(x, y, validation_data=validation, **options).history
    batch = options["batch_size"]
    evaluated = model.evaluate(x, y, batch_size=batch, verbose=0)
    predicted = model.predict(x, batch_size=batch, verbose=0)
    return model, history, evaluated, predicted


COMPILED = ("steps_per_execution", "run_eagerly", "jit_compile")


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in MODELS]
    + [
        ("masked", {"steps_per_execution": 3}),
        ("stack", {"run_eagerly": True, "epochs": 1}),
        ("stack", {"jit_compile": True}),  # on Keras's path: the op isn't XLA's
    ],
)
def test_training_takes_the_same_course(rng, name, options):
    data = training_data(rng)
    _, stock, *stock_numbers = fitted(name, False, data, **options)
    _, fast, *fast_numbers = fitted(name, True, data, **options)
    assert stock.keys() == fast.keys()
    for key, values in stock.items():
        np.testing.assert_allclose(fast[key], values, rtol=2e-4, err_msg=key)
    for ours, expected in zip(fast_numbers, stock_numbers, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-3, atol=2e-3)


def test_batches_of_every_length_give_the_same_gradients(rng):
    model = make_stack(LSTM(4, return_sequences=True), LSTM(3), steps=None)
    arguments = [model, None, model.trainable_weights, [tf.TensorSpec((None, None, 3))]]
    batches = [rng.normal(size=(n, t, 3)).astype("float32") for n, t in [(4, 5), (1, 1), (9, 33)]]
    stock = [gradients(model, [x], *arguments[2:]) for x in batches]
    accelerate(model)
    for x, expected in zip(batches, stock, strict=True):
        assert_equal(gradients(model, [x], *arguments[2:]), expected)


def test_a_length_is_rounded_up_little_and_to_few_values():
    rounded = [int(_few_lengths(tf.constant(steps))) for steps in range(1, 513)]
    assert all(n <= up <= max(n + 1, 1.26 * n) for n, up in enumerate(rounded, 1))
    assert len(set(rounded)) <= 4 * 9


@pytest.mark.parametrize("threads", [1, 3, 64])
def test_the_number_of_threads_changes_nothing(rng, monkeypatch, threads):
    model = make_stack(L.Masking(), LSTM(4, return_sequences=True), LSTM(3))
    x, _ = training_data(rng, 21)
    stock = model.predict(x, verbose=0)
    threading = tf.config.threading
    monkeypatch.setattr(threading, "get_inter_op_parallelism_threads", lambda: threads)
    accelerate(model)
    for samples in (1, 8, 21):
        ours = model.predict(x[:samples], batch_size=samples, verbose=0)
        np.testing.assert_allclose(ours, stock[:samples], atol=2e-6)


def test_the_same_seed_gives_the_same_bits():
    code = """
import numpy as np, keras
from lstm_states import accelerate, make_deterministic
make_deterministic()
def fit():
    keras.utils.set_random_seed(3)
    L = keras.layers
    model = keras.Sequential([keras.Input((9, 3)), L.Masking(), L.LSTM(8, return_sequences=True),
                              L.LSTM(5), L.Dense(1)])
    assert len(accelerate(model)) == 2
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(100, 9, 3)).astype("float32")
    model.fit(x, x[:, -1, :1], epochs=3, verbose=0)
    return model.get_weights()
assert all((a == b).all() for a, b in zip(fit(), fit(), strict=True))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# A stock model all the same


def test_it_is_idempotent_and_reversible(rng):
    model = make_stack(LSTM(4, return_sequences=True), L.Bidirectional(LSTM(3)), L.Dense(1))
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, LSTM)]
    attributes = [set(vars(layer)) for layer in layers]
    report = accelerate(model)
    assert report == accelerate(model)
    assert list(report.values()) == [FAST] * 3
    assert list(report)[1:] == [
        f"{model.layers[1].name}/{side}" for side in ("forward", "backward")
    ]
    decelerate(model)
    decelerate(model)
    assert attributes == [set(vars(layer)) for layer in layers]


def uses_the_kernel(model, x):
    graph = tf.function(lambda x: model(x)).get_concrete_function(x).graph
    return "BlockLSTMV2" in str(graph.as_graph_def())  # the functions that it calls included


def test_a_compiled_model_changes_path_at_once(rng, monkeypatch):
    x, y = training_data(rng, 20)
    model = make_stack(LSTM(4), L.Dense(1))
    model.compile("sgd", "mse")
    ran = []
    true_run = kernel_layer.block_lstm

    def counting(*arguments):
        ran.append(1)
        return true_run(*arguments)

    monkeypatch.setattr(kernel_layer, "block_lstm", counting)
    for method in (model.fit, model.evaluate):
        for change, fast in ((decelerate, False), (accelerate, True), (decelerate, False)):
            change(model)
            ran.clear()
            method(x, y, verbose=0)
            assert bool(ran) == fast
    accelerate(model)
    model.predict(x, verbose=0)
    assert ran


# TensorFlow's own, when it writes a SavedModel.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_copies_are_stock_and_the_model_can_be_served_without_this_package(rng, tmp_path):
    model = make_stack(LSTM(4, return_sequences=True), LSTM(3), L.Dense(1))
    x = rng.normal(size=(5, 7, 3)).astype("float32")
    config, expected = model.get_config(), model.predict(x, verbose=0)
    accelerate(model)
    assert model.get_config() == config
    model.save(tmp_path / "model.keras")
    model.export(tmp_path / "served", verbose=False)
    copies = {
        "saved": keras.saving.load_model(tmp_path / "model.keras"),
        "cloned": keras.models.clone_model(model),
        "copied": copy.deepcopy(model),
    }
    assert uses_the_kernel(model, x)
    for name, other in copies.items():
        assert not uses_the_kernel(other, x), name
        other.set_weights(model.get_weights())
        np.testing.assert_allclose(other.predict(x, verbose=0), expected, atol=1e-6)
    np.savez(tmp_path / "arrays.npz", x=x, expected=expected)
    code = f"""
import sys, numpy as np, tensorflow as tf
arrays = np.load({str(tmp_path / "arrays.npz")!r})
served = tf.saved_model.load({str(tmp_path / "served")!r})
y = served.serve(arrays["x"]).numpy()
np.testing.assert_allclose(y, arrays["expected"], atol=1e-6)
assert "lstm_states" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class OwnLoop(LSTM):
    def inner_loop(self, sequences, initial_state, mask, training=False):
        return super().inner_loop(sequences, initial_state, mask, training=training)


def with_replaced_loop():
    layer = LSTM(4)
    vars(layer)["inner_loop"] = lambda *args, **kwargs: LSTM.inner_loop(layer, *args, **kwargs)
    return layer


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: LSTM(4, activation="relu"), "activations"),
        (lambda: LSTM(4, recurrent_activation="hard_sigmoid"), "activations"),
        (lambda: LSTM(4, recurrent_dropout=0.2), "recurrent_dropout"),
        (lambda: LSTM(4, dropout=0.2, implementation=1), "implementation=1"),
        (lambda: LSTM(4, unroll=True), "unrolled"),
        (lambda: LSTM(4, dtype="mixed_float16"), "float16"),
        (lambda: LSTM(4, dtype="mixed_bfloat16"), "bfloat16"),
        (lambda: LSTM(4, dtype="float64"), "float64"),
        (lambda: L.GRU(4), "it is a GRU"),
        (lambda: L.RNN(L.LSTMCell(4)), "it is a RNN"),
        (lambda: OwnLoop(4), "it is a OwnLoop"),
        (with_replaced_loop, "has been replaced"),
    ],
)
def test_what_the_kernel_cannot_do_stays_on_keras_own_path(rng, make, reason):
    model = make_stack(make(), L.Dense(1))
    x = rng.normal(size=(5, 7, 3)).astype("float32")
    stock = model(x)
    [why] = accelerate(model).values()
    assert reason in why
    assert not uses_the_kernel(model, x)
    np.testing.assert_array_equal(model(x), stock)


def test_a_gpu_leaves_all_to_cudnn(monkeypatch):
    model = make_stack(LSTM(4))
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    [why] = accelerate(model).values()
    assert "cuDNN" in why


def test_an_option_changed_afterwards_counts(rng):
    model = make_stack(LSTM(4))
    x = rng.normal(size=(5, 7, 3)).astype("float32")
    accelerate(model)
    assert uses_the_kernel(model, x)
    model.layers[0].cell.activation = keras.activations.relu
    assert not uses_the_kernel(model, x)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_whole_numbers_stay_on_keras_own_path(dtype):
    model = keras.Sequential([keras.Input((7, 3), dtype=dtype), LSTM(4)])
    x = np.ones((5, 7, 3), dtype)
    stock = model(x)
    accelerate(model)
    np.testing.assert_array_equal(model(x), stock)


def test_dropping_everything_drops_nothing_as_in_keras(rng):
    model = make_stack(LSTM(4, dropout=1.0))
    x = rng.normal(size=(5, 7, 3)).astype("float32")
    stock = model(x, training=True)
    accelerate(model)
    np.testing.assert_allclose(model(x, training=True), stock, atol=3e-6)


def test_one_mask_and_one_start_serve_a_whole_batch(rng):
    layer = make_stack(LSTM(4, return_sequences=True)).layers[0]
    x = rng.normal(size=(20, 7, 3)).astype("float32")
    start = [tf.constant(rng.normal(size=(1, 4)), "float32") for _ in range(2)]
    mask = tf.constant([[True, True, False, True, True, False, False]])
    stock = layer(x, mask=mask, initial_state=start)
    accelerate(keras.Sequential([layer]))
    np.testing.assert_allclose(layer(x, mask=mask, initial_state=start), stock, atol=3e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"mask": np.ones((20, 5), bool)},
        {"mask": np.ones((20, 1), bool)},
        {"initial_state": [np.zeros((30, 4), "float32")] * 2},
    ],
)
def test_what_keras_refuses_is_refused(rng, arguments):
    model = make_stack(LSTM(4, return_sequences=True))
    x = rng.normal(size=(20, 7, 3)).astype("float32")
    given = keras.tree.map_structure(tf.convert_to_tensor, arguments)
    for change in (decelerate, accelerate):
        change(model)
        with pytest.raises(tf.errors.OpError):
            model.layers[0](x, **given)


class Twins(keras.Layer):
    """Two layers of one name."""

    def __init__(self):
        super().__init__(name="twins")
        self.one = LSTM(4, return_sequences=True, name="lstm")
        self.two = LSTM(4, activation="relu", name="lstm")

    def call(self, x):
        return self.two(self.one(x))


def test_layers_of_one_name_are_all_reported():
    model = keras.Sequential([keras.Input((7, 3)), Twins()])
    report = accelerate(model)
    assert report["twins/lstm"] == FAST
    assert "activations" in report["twins/lstm'"]


def test_what_is_no_model_is_refused():
    for function in (accelerate, decelerate):
        with pytest.raises(TypeError, match=r"keras\.Model, not LSTM"):
            function(LSTM(3))


def test_a_trace_of_an_accelerated_model_is_proved_by_keras_itself(rng, monkeypatch):
    model = make_stack(L.Masking(), LSTM(4, return_sequences=True), LSTM(3), L.Dense(1))
    x, _ = training_data(rng, 20)
    expected = record_traces(model, x)
    accelerate(model)
    looped = []
    true_loop = LSTM.inner_loop

    def counting(self, *arguments, **options):
        looped.append(self)
        return true_loop(self, *arguments, **options)

    monkeypatch.setattr(LSTM, "inner_loop", counting)
    assert record_traces(model, x).identical(expected)
    assert set(looped) == set(model.layers[1:3])
    monkeypatch.undo()
    assert uses_the_kernel(model, x)  # as it was
