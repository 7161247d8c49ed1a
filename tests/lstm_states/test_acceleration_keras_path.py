"""What the kernel can't do exactly, an accelerated layer does on Keras's own path."""

import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import accelerate, decelerate
from tests.lstm_states.test_acceleration import make_stack, uses_the_kernel

L = keras.layers
LSTM = L.LSTM
GRU = L.GRU


class OwnLoop(LSTM):
    def inner_loop(self, sequences, initial_state, mask, training=False):
        return super().inner_loop(sequences, initial_state, mask, training=training)


def with_replaced_loop():
    layer = LSTM(4)
    vars(layer)["inner_loop"] = lambda *args, **kwargs: LSTM.inner_loop(layer, *args, **kwargs)
    return layer


class Clipped(L.LSTMCell):
    def _compute_carry_and_output_fused(self, z, c):
        c, o = super()._compute_carry_and_output_fused(z, c)
        return keras.ops.clip(c, -0.1, 0.1), o


class OwnGRUCell(L.GRUCell):
    def call(self, inputs, states, training=False):
        h, states = super().call(inputs, states, training=training)
        return h, keras.tree.map_structure(lambda state: 0.5 * state, states)


def with_cell(cell, kind=LSTM, **options):
    layer = kind(cell.units, **options)
    layer.cell = cell
    return layer


def with_replaced_step():
    layer = LSTM(4)
    replace_step(layer.cell)
    return layer


def replace_step(cell):
    original = cell._compute_carry_and_output_fused
    cell._compute_carry_and_output_fused = lambda z, c: [2 * v for v in original(z, c)]


OPTIONS = [
    ({"activation": "relu"}, "activations"),
    ({"recurrent_activation": "hard_sigmoid"}, "activations"),
    ({"recurrent_dropout": 0.2}, "recurrent_dropout"),
    ({"dropout": 0.2, "implementation": 1}, "implementation=1"),
    ({"unroll": True}, "unrolled"),
    ({"dtype": "mixed_float16"}, "float16"),
    ({"dtype": "mixed_bfloat16"}, "bfloat16"),
    ({"dtype": "float64"}, "float64"),
]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        *(
            (lambda kind=kind, options=options: kind(4, **options), reason)
            for kind in (LSTM, GRU)
            for options, reason in OPTIONS
        ),
        (lambda: with_cell(OwnGRUCell(4), GRU), "its cell overrides call"),
        (lambda: L.SimpleRNN(4), "it is a SimpleRNN"),
        (lambda: L.RNN(L.LSTMCell(4)), "it is a RNN"),
        (lambda: L.RNN(L.GRUCell(4)), "it is a RNN"),
        (lambda: OwnLoop(4), "it overrides inner_loop"),
        (lambda: with_cell(Clipped(4)), "its cell overrides _compute_carry_and_output_fused"),
        (with_replaced_step, "its cell overrides _compute_carry_and_output_fused"),
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
    model = make_stack(LSTM(4, return_sequences=True), GRU(4))
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    assert all("cuDNN" in why for why in accelerate(model).values())


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_an_option_changed_afterwards_counts(rng, kind):
    model = make_stack(kind(4))
    x = rng.normal(size=(5, 7, 3)).astype("float32")
    accelerate(model)
    assert uses_the_kernel(model, x)
    model.layers[0].cell.activation = keras.activations.relu
    assert not uses_the_kernel(model, x)


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "bool"])
def test_whole_numbers_stay_on_keras_own_path(dtype, kind):
    model = keras.Sequential([keras.Input((7, 3), dtype=dtype), kind(4)])
    x = np.ones((5, 7, 3), dtype)
    stock = model(x)
    accelerate(model)
    np.testing.assert_array_equal(model(x), stock)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_dropping_everything_drops_nothing_as_in_keras(rng, kind):
    model = make_stack(kind(4, dropout=1.0))
    x = rng.normal(size=(5, 7, 3)).astype("float32")
    stock = model(x, training=True)
    accelerate(model)
    np.testing.assert_allclose(model(x, training=True), stock, atol=3e-6)


def test_a_step_replaced_after_the_change_is_taken(rng):
    model = make_stack(LSTM(4))
    x = rng.normal(size=(5, 7, 3)).astype("float32")
    accelerate(model)
    assert uses_the_kernel(model, x)
    replace_step(model.layers[0].cell)
    assert not uses_the_kernel(model, x)
    found = model(x)
    decelerate(model)
    np.testing.assert_array_equal(found, model(x))


@pytest.mark.parametrize(
    ("of_layer", "of_cell"),
    [("float32", "mixed_float16"), ("mixed_bfloat16", "float32"), ("float64", "float32")],
)
def test_a_cell_of_another_precision_than_its_layer(rng, of_layer, of_cell):
    layer = with_cell(L.LSTMCell(4, dtype=of_cell), dtype=of_layer, return_state=True)
    x = rng.normal(size=(5, 7, 3)).astype("float32")
    stock = layer(x)
    accelerate(keras.Sequential([layer]))
    for ours, expected in zip(layer(x), stock, strict=True):
        assert ours.dtype == expected.dtype
        np.testing.assert_allclose(ours, expected, atol=3e-6)


# Shapes


def outcome(function, *arguments):
    """Return the shape and values that come out, or Keras's word that none do."""
    try:
        return np.asarray(function(*arguments))
    except Exception:  # of many kinds
        return "refused"


STARTS = [(1, 4), (20, 1), (4,), (5, 4), (20, 4, 1)]
SHAPES = [("mask", shape, None) for shape in [(1, 7), (20, 1), (20, 5), (7,), (20, 7, 1)]]
SHAPES += [("initial_state", shape, (20, 4)) for shape in STARTS]
SHAPES += [("initial_state", (20, 4), shape) for shape in STARTS]


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("kind", "argument", "shape", "other"),
    [(LSTM, *shapes) for shapes in SHAPES]
    + [(GRU, *shapes) for shapes in SHAPES if shapes[2] in (None, (20, 4))],
)
def test_a_shape_gives_what_keras_makes_of_it(rng, kind, argument, shape, other, traced):
    layer = make_stack(kind(4, return_sequences=True)).layers[0]
    x = tf.constant(rng.normal(size=(20, 7, 3)), "float32")
    first = tf.constant(rng.normal(size=shape), "float32")
    second = None if other is None else tf.constant(rng.normal(size=other), "float32")

    def call(first, second):
        states = [first, second][: len(layer.state_size)]
        return layer(x, **({"mask": first > 0} if second is None else {"initial_state": states}))

    stock = outcome(tf.function(call) if traced else call, first, second)
    accelerate(keras.Sequential([layer]))
    ours = outcome(tf.function(call) if traced else call, first, second)
    if isinstance(stock, str) or isinstance(ours, str):
        assert isinstance(ours, str) == isinstance(stock, str)
    else:
        assert ours.shape == stock.shape
        np.testing.assert_allclose(ours, stock, atol=3e-6)


@pytest.mark.parametrize(("kind", "states"), [(LSTM, 2), (GRU, 1)])
def test_a_start_of_unknown_shape_is_refused_if_it_does_not_fit(rng, kind, states):
    layer = make_stack(kind(4)).layers[0]
    x = tf.constant(rng.normal(size=(20, 7, 3)), "float32")
    signature = [tf.TensorSpec((None, None))] * states

    @tf.function(input_signature=signature)
    def call(*states):
        return layer(x, initial_state=list(states))

    accelerate(keras.Sequential([layer]))
    with pytest.raises(tf.errors.OpError):
        call(*[tf.zeros((20, 1))] * states)


@pytest.mark.parametrize(("batch", "steps"), [(None, None), (None, 1), (20, 1), (20, 7)])
@pytest.mark.parametrize(
    ("sequences", "backwards", "masked"),
    [(True, False, True), (False, True, True), (True, True, False)],
)
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_what_is_known_of_a_shape_stays_known(kind, batch, steps, sequences, backwards, masked):
    layer = kind(4, return_sequences=sequences, go_backwards=backwards, return_state=True)
    model = keras.Sequential([keras.Input((steps, 3)), layer])
    found = []
    for change in (decelerate, accelerate):
        change(model)
        whole = tf.function(
            lambda x: layer(x, mask=x[..., 0] > 0 if masked else None),
            input_signature=[tf.TensorSpec((batch, steps, 3))],
        )
        outputs = whole.get_concrete_function().structured_outputs
        found.append([tuple(output.shape) for output in outputs])
    assert found[1] == found[0]


# While the model is in use


class ChangeThePath(keras.callbacks.Callback):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.change(self.model)

    on_test_batch_end = on_predict_batch_end = on_train_batch_end


def trained(rng, first, change):
    """Train, evaluate and predict with a model whose path is changed on the way."""
    keras.utils.set_random_seed(0)
    model = make_stack(L.Masking(), LSTM(4, return_sequences=True), GRU(4), L.Dense(1))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    first(model)
    x = np.random.default_rng(0).normal(size=(12, 7, 3)).astype("float32")
    callbacks = [ChangeThePath(change)]
    options = {"batch_size": 4, "verbose": 0, "callbacks": callbacks}
    y = x[:, 0, :1]
    history = model.fit(x, y, shuffle=False, validation_data=(x, y), **options).history
    return [*history["loss"], *history["val_loss"], *model.predict(x, **options)[:, 0]]


def test_a_callback_may_change_the_path(rng):
    nothing = lambda model: None  # noqa: E731
    stock = trained(rng, nothing, nothing)
    np.testing.assert_allclose(trained(rng, nothing, accelerate), stock, rtol=1e-4)
    np.testing.assert_allclose(trained(rng, accelerate, decelerate), stock, rtol=1e-4)


def test_another_thread_may_change_the_path(rng):
    model = make_stack(LSTM(4))
    x = rng.normal(size=(40, 7, 3)).astype("float32")
    stock, found = model.predict(x, verbose=0), []

    def predict():
        found.extend(model.predict(x, batch_size=8, verbose=0) for _ in range(3))

    thread = threading.Thread(target=predict)
    thread.start()
    while thread.is_alive():
        for change in (accelerate, decelerate):
            change(model)
            thread.join(0.1)
    assert len(found) == 3
    for ours in found:
        np.testing.assert_allclose(ours, stock, atol=3e-6)
