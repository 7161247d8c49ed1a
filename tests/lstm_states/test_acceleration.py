"""An accelerated model gives what stock Keras gives, and stays a stock model."""

import copy
import gc
import re
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras.src import backend

from lstm_states import accelerate, acceleration, decelerate, record_traces, reset_states
from lstm_states.acceleration import FAST
from lstm_states.kernels import layer as kernel_layer
from lstm_states.kernels.fused import run_fused
from lstm_states.kernels.loops import few_lengths
from lstm_states.layers import live_states, recurrent_layers
from tests.conftest import shake
from tests.lstm_states.oracle import run_layer
from tests.lstm_states.traces.models import MASKS, make_mask, make_states

L = keras.layers
LSTM = L.LSTM
GRU = L.GRU
KINDS = {"LSTM": LSTM, "GRU": GRU, "GRU, reset before": partial(GRU, reset_after=False)}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def make_stack(*layers, steps=7, batch=None, seed=0):
    """Return a model of the layers over 3 features, its weights random."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((steps, 3), batch_size=batch), *layers])
    return shake(model, np.random.default_rng(seed))


def gradients(function, weights, signature):
    """Return a traced function of the inputs.

    It gives the outputs, and the gradients of a number made of them by the inputs and the weights.
    """

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

    return lambda *inputs: [value.numpy() for value in keras.tree.flatten(traced(*inputs))]


def assert_equal(found, expected, tolerance=3e-6):
    assert len(found) == len(expected)
    for ours, stock in zip(found, expected, strict=True):
        scale = 1 + np.abs(stock).max(initial=0)
        np.testing.assert_allclose(ours, stock, rtol=0, atol=tolerance * scale)


# The same numbers


@every_kind
@given(
    samples=st.sampled_from([1, 3, 17, 40]),
    steps=st.integers(1, 9),
    known=st.tuples(st.booleans(), st.booleans()),
    masked=st.sampled_from(MASKS),
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
    kind, samples, steps, known, masked, bidirectional, state_given, options, seed
):
    keras.backend.clear_session()
    rng = np.random.default_rng(seed)
    start = keras.Input((None, 3))
    if bidirectional:
        options |= {"go_backwards": False}
        layer = L.Bidirectional(kind(**options, return_state=True))
    else:
        layer = kind(**options, return_state=True)
    model = shake(keras.Model(start, layer(start)), rng)
    x = rng.normal(size=(samples, steps, 3)).astype("float32")
    mask = make_mask(masked, rng, (samples, steps)) if steps > 1 else None
    of_one = 2 if kind is LSTM else 1
    count = of_one * (1 + bidirectional) if state_given else 0
    shape = (samples, options["units"])
    states = [rng.normal(size=shape).astype("float32") for _ in range(count)]

    def function(x, *states):
        return layer(x, initial_state=list(states) or None, mask=mask, training=True)

    batch = samples if known[0] else None
    signature = [tf.TensorSpec((batch, steps if known[1] else None, 3))]
    signature += [tf.TensorSpec((batch, options["units"]))] * count
    arguments = function, layer.trainable_weights, signature
    stock = gradients(*arguments)(x, *states)
    assert set(accelerate(model).values()) == {FAST}
    assert_equal(gradients(*arguments)(x, *states), stock)


@every_kind
@pytest.mark.parametrize("masked", MASKS)
def test_gradients_are_the_slopes_of_the_equations(rng, kind, masked):
    layer = kind(4, return_sequences=True)
    model = make_stack(layer)
    accelerate(model)
    mask = make_mask(masked, rng, (5, 7))
    starts = make_states(layer, rng, 5)
    arguments = [rng.normal(size=(5, 7, 3)), *starts]
    weights = [w.astype("float64") for w in layer.get_weights()]
    arguments += weights
    factors = rng.normal(size=(5, 7, 4))

    def loss(x, *others):
        layer.set_weights(others[len(starts) :])
        _, shown = run_layer(layer, x, mask, state=others[: len(starts)])
        return (factors * shown).sum()

    def loss_of_tensors(x, *states):
        shown = layer(x, initial_state=list(states), mask=mask)
        return tf.reduce_sum(tf.cast(factors, "float32") * shown)

    inputs = [tf.constant(a, "float32") for a in arguments[: -len(weights)]]
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


@every_kind
def test_masked_nan_leaves_the_gradients_finite(rng, kind):
    layer = kind(4)
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
    "single": lambda: [LSTM(4), L.Dense(1)],
    "GRU, masked": lambda: [L.Masking(), GRU(8, return_sequences=True), GRU(4), L.Dense(1)],
    "GRU, bidirectional": lambda: [
        L.Masking(),
        L.Bidirectional(GRU(5, reset_after=False)),
        L.Dense(1),
    ],
    "GRU, dropout": lambda: [
        GRU(8, dropout=0.3, return_sequences=True, reset_after=False),
        GRU(4, dropout=0.3),
        L.Dense(1),
    ],
    "GRU, stateful": lambda: [
        GRU(6, stateful=True, return_sequences=True),
        LSTM(4),
        L.Dense(1),
    ],
    "GRU": lambda: [GRU(4), L.Dense(1)],
}


def fitted(name, fast, data, **options):
    """Train one model; return its history and how it does in the end."""
    stateful = name.endswith("stateful")
    keras.utils.set_random_seed(0)  # the layers draw their seeds when they are made
    model = make_stack(*MODELS[name](), batch=30 if stateful else None)
    compiled = {key: options.pop(key) for key in list(options) if key in COMPILED}
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"], **compiled)
    if fast:
        assert FAST in accelerate(model).values()
    x, y = data
    batch = 30 if stateful else 32
    options = {"batch_size": batch, "epochs": 3, "verbose": 0} | options
    history = model.fit(x, y, shuffle=not stateful, **options).history
    return history, model.evaluate(x, y, batch_size=batch, verbose=0)


COMPILED = ("steps_per_execution", "run_eagerly", "jit_compile")
SAMPLES = {"single": 110, "GRU": 110, "stateful": 120, "GRU, stateful": 120}


@pytest.mark.parametrize(
    ("name", "options"),
    # The layers of the stack are those below dropout and a mask as well.
    [pytest.param("stack", {}, marks=pytest.mark.nightly)]
    + [(name, {}) for name in MODELS if name != "stack"]
    + [
        ("masked", {"steps_per_execution": 3}),
        ("single", {"run_eagerly": True, "epochs": 1}),
        ("single", {"jit_compile": True}),  # on Keras's path: the op isn't XLA's
        ("GRU", {"run_eagerly": True, "epochs": 1}),
        ("GRU", {"jit_compile": True}),
    ],
)
def test_training_takes_the_same_course(rng, name, options):
    # The last batch of the single layer is smaller; each size of a batch is compiled on its own,
    # which takes XLA long.
    data = training_data(rng, 32 if "jit_compile" in options else SAMPLES.get(name, 128))
    stock, stock_numbers = fitted(name, False, data, **options)
    fast, fast_numbers = fitted(name, True, data, **options)
    assert stock.keys() == fast.keys()
    for key, values in stock.items():
        np.testing.assert_allclose(fast[key], values, rtol=2e-4, err_msg=key)
    np.testing.assert_allclose(fast_numbers, stock_numbers, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        # Over an unknown number of steps, Keras goes through tf.vectorized_map.
        ((None, 7, 3), lambda: [L.TimeDistributed(LSTM(4)), L.Dense(1)]),
        ((None, 7, 3), lambda: [L.TimeDistributed(GRU(4)), L.Dense(1)]),
        (
            (1, 3),
            lambda: [L.Masking(), LSTM(4, return_sequences=True), L.TimeDistributed(L.Dense(1))],
        ),
    ],
)
def test_time_distributed_takes_the_same_course(rng, shape, layers):
    found = []
    sizes = [2 if size is None else size for size in shape]
    x = rng.normal(size=(6, *sizes)).astype("float32")
    for change in (decelerate, accelerate):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input(shape), *layers()])
        change(model)
        model.compile(keras.optimizers.SGD(0.5), "mse")
        y = np.ones((6, sizes[0], 1))
        losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
        found.append([*losses, model.evaluate(x, y, verbose=0)])
    assert found[0][0] > 1.2 * found[0][-1]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)


def test_two_replicas_take_the_same_course():
    code = """
import keras, numpy as np, tensorflow as tf
from lstm_states import accelerate, decelerate
from lstm_states.acceleration import FAST
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
L = keras.layers
x = np.random.default_rng(0).normal(size=(20, 7, 3)).astype("float32")
found = []
for change in (decelerate, accelerate):
    keras.utils.set_random_seed(0)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        below = L.LSTM(4, return_sequences=True)
        model = keras.Sequential([keras.Input((7, 3)), L.Masking(), below, L.GRU(4), L.Dense(1)])
        model.compile("sgd", "mse")
    change(model)
    fitted = model.fit(x, x[:, 0, :1], epochs=2, batch_size=10, shuffle=False, verbose=0)
    found.append(fitted.history["loss"])
assert set(accelerate(model).values()) == {FAST}, accelerate(model)
np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@every_kind
def test_nothing_is_kept_of_a_model_that_was_trained(rng, kind):
    x, y = training_data(rng, 20)
    model = make_stack(L.Masking(), kind(4), L.Dense(1))
    model.compile("sgd", "mse")
    accelerate(model)
    model.train_on_batch(x, y)
    layer, traced = weakref.ref(model.layers[1]), weakref.ref(model.train_function)
    del model
    gc.collect()
    assert layer() is None
    assert traced() is None


@every_kind
def test_batches_of_every_length_give_the_same_gradients(rng, kind):
    model = make_stack(kind(4, return_sequences=True), kind(3), steps=None)
    arguments = model, model.trainable_weights, [tf.TensorSpec((None, None, 3))]
    sizes = [(4, 5), (1, 1), (9, 33), (0, 5)]
    batches = [rng.normal(size=(*size, 3)).astype("float32") for size in sizes]
    stock = [*map(gradients(*arguments), batches)]
    accelerate(model)
    for ours, expected in zip(map(gradients(*arguments), batches), stock, strict=True):
        assert_equal(ours, expected)


def test_a_length_is_rounded_up_little_and_to_few_values():
    rounded = [int(few_lengths(tf.constant(steps))) for steps in range(1, 513)]
    assert all(n <= up <= max(n + 1, 1.26 * n) for n, up in enumerate(rounded, 1))
    assert len(set(rounded)) <= 4 * 9


@pytest.mark.parametrize("threads", [1, pytest.param(3, marks=pytest.mark.nightly), 64])
def test_the_number_of_threads_changes_nothing(rng, monkeypatch, threads):
    model = make_stack(L.Masking(), LSTM(4, return_sequences=True), GRU(3))
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
import numpy as np, keras, tensorflow as tf
from lstm_states import accelerate
tf.config.experimental.enable_op_determinism()
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(2)
def fit():
    keras.utils.set_random_seed(3)
    L = keras.layers
    model = keras.Sequential([keras.Input((9, 3)), L.Masking(), L.LSTM(8, return_sequences=True),
                              L.GRU(5), L.Dense(1)])
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
    model = make_stack(LSTM(4, return_sequences=True), L.Bidirectional(GRU(3)), L.Dense(1))
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, (LSTM, GRU))]
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
    text = str(graph.as_graph_def())  # the functions that it calls included
    return "BlockLSTMV2" in text or "LSTMStatesGRU" in text


@every_kind
def test_a_compiled_model_changes_path_at_once(rng, monkeypatch, kind):
    x, y = training_data(rng, 20)
    model = make_stack(kind(4), L.Dense(1))
    model.compile("sgd", "mse")
    ran = []
    true_run = run_fused

    def counting(*arguments, **options):
        ran.append(1)
        return true_run(*arguments, **options)

    monkeypatch.setattr(kernel_layer, "run_fused", counting)
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
@every_kind
def test_copies_are_stock_and_the_model_can_be_served_without_this_package(rng, tmp_path, kind):
    model = make_stack(kind(4, return_sequences=True), kind(3), L.Dense(1))
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
x = tf.constant(arrays["x"])
with tf.GradientTape() as tape:
    tape.watch(x)
    try:
        tape.gradient(served.serve(x), x)
    except Exception:
        sys.exit()
sys.exit("a gradient of what was exported")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


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
        with pytest.raises(TypeError, match=r"it must be a keras\.Model"):
            function(LSTM(3))


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_trace_of_an_accelerated_model_is_proved_by_keras_itself(rng, monkeypatch, kind):
    model = make_stack(L.Masking(), kind(4, return_sequences=True), kind(3), L.Dense(1))
    x, _ = training_data(rng, 20)
    expected = record_traces(model, x)
    accelerate(model)
    looped = []
    name = kind.__name__.lower()
    true_loop = getattr(backend, name)  # what Keras's own loop asks first

    def counting(*arguments, **options):
        looped.append(1)
        return true_loop(*arguments, **options)

    monkeypatch.setattr(backend, name, counting)
    assert record_traces(model, x).identical(expected)
    assert len(looped) >= 2
    monkeypatch.undo()
    assert uses_the_kernel(model, x)  # as it was


def timed_model():
    """A layer that is called, one that gains nothing, and one that has no kernel; states, seeds."""
    x = keras.Input((20, 3), batch_size=16)
    h = L.Dropout(0.5)(L.Bidirectional(LSTM(4, return_sequences=True), name="both")(x))
    h = GRU(3, stateful=True, return_sequences=True, name="gru")(h)
    return keras.Model(x, L.SimpleRNN(2, name="simple")(h))


def test_with_inputs_each_layer_keeps_the_faster_path_and_says_what_it_gains(monkeypatch):
    model, x = timed_model(), np.random.default_rng(0).normal(size=(16, 20, 3))
    run = acceleration.run_layer

    def late(layer, *given, **options):  # a kernel that takes long for one layer
        found = run(layer, *given, **options)
        if layer.name != "gru":
            return found
        wait = tf.py_function(lambda: time.sleep(0.2), [], [])
        with tf.control_dependencies([wait]):
            return replace(found, last=tf.identity(found.last), outputs=tf.identity(found.outputs))

    monkeypatch.setattr(acceleration, "run_layer", late)
    stock = model(x, training=False)
    report = accelerate(model, x)
    assert re.fullmatch(
        r"Keras's own path is faster: the fused kernel takes \d+\.\d\d of its time", report["gru"]
    )
    assert report["simple"] == "it is a SimpleRNN, not a keras.layers.LSTM or GRU"
    for address in ("both/forward", "both/backward"):
        told = report[address]
        ratio = float(re.search(r"\d+\.\d\d", told)[0])
        gained = f"{FAST}, {ratio:.2f} of the time on Keras's own path"
        assert told == gained if ratio < 1 else told.startswith("Keras's own path is faster")
    layers = dict(recurrent_layers(model))
    fast = {name for name, told in report.items() if told.startswith(FAST)}
    assert {name for name, layer in layers.items() if "inner_loop" in vars(layer)} == fast
    reset_states(model)  # the call before has moved them
    np.testing.assert_allclose(model(x, training=False), stock, atol=1e-6)


def test_timing_moves_no_states_and_changes_no_layer_if_it_fails():
    model = timed_model()
    model(np.ones((16, 20, 3)))
    before = {name: state.numpy() for name, state in live_states(model).items()}
    with pytest.raises(ValueError, match="incompatible with the layer"):
        accelerate(model, np.zeros((16, 20, 5)))
    assert not any("inner_loop" in vars(layer) for _, layer in recurrent_layers(model))
    accelerate(model, np.ones((16, 20, 3)))
    for name, state in live_states(model).items():
        assert np.abs(before[name]).min() > 0
        np.testing.assert_array_equal(state.numpy(), before[name])
