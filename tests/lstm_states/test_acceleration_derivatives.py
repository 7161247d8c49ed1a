"""However a model is differentiated, an accelerated one gives what stock Keras gives."""

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import accelerate, decelerate
from lstm_states.acceleration import FAST
from lstm_states.kernels.cells import kind_of
from lstm_states.kernels.fused import run_fused
from lstm_states.kernels.scan import scan_cell
from tests.conftest import shake

L = keras.layers
LSTM = L.LSTM
GRU = L.GRU


def started(layer, x):
    states = [L.Dense(2)(x[:, n]) for n in range(len(layer.state_size))]
    return layer(x, initial_state=states)


LAYERS = {
    "backwards, masked": lambda x: LSTM(2, go_backwards=True, return_sequences=True)(
        L.Masking()(x)
    ),
    "started": lambda x: started(LSTM(2, use_bias=False), x),
    "bidirectional, masked": lambda x: L.Bidirectional(LSTM(2), merge_mode="sum")(L.Masking()(x)),
    "GRU, backwards, masked": lambda x: GRU(2, go_backwards=True, return_sequences=True)(
        L.Masking()(x)
    ),
    "GRU, started": lambda x: started(GRU(2, use_bias=False), x),
    "GRU, reset before, started": lambda x: started(GRU(2, reset_after=False), x),
}


def loss(y):
    return tf.reduce_sum(y**3)


class Case(NamedTuple):
    """A model, its input, and what stock Keras gives for them, in float64."""

    model: keras.Model
    x: tf.Tensor
    weights: list
    outputs: np.ndarray  # (sample, output)
    jacobians: list  # by x and each weight, (sample, output, ...)
    hessian: np.ndarray

    def gradients(self):
        """Return the gradients of the loss, by x and each weight."""
        return [np.tensordot(3 * self.outputs**2, j, 2) for j in self.jacobians]


@lru_cache
def make_case(name):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    start = keras.Input((4, 2))
    shown = LAYERS[name](start)
    flat = keras.ops.reshape(shown, (-1, math.prod(shown.shape[1:])))
    model = shake(keras.Model(start, flat), rng)
    values = rng.normal(size=(3, 4, 2)).astype("float32")
    values[0, 2:] = values[1, :2] = 0
    x, weights = tf.constant(values), [weight.value for weight in model.trainable_weights]
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = model(x)
            number = loss(y)
        slope = tape.gradient(number, x)
    jacobians = tape.jacobian(y, [x, *weights], experimental_use_pfor=False)
    hessian = outer.jacobian(slope, x, experimental_use_pfor=False)
    stock = [np.asarray(value, "float64") for value in (y, *jacobians, hessian)]
    assert set(accelerate(model).values()) == {FAST}
    return Case(model, x, weights, stock[0], stock[1:-1], stock[-1])


def by_tape(case, function=None):
    with tf.GradientTape() as tape:
        tape.watch(case.x)
        number = loss((function or case.model)(case.x))
    return tape.gradient(number, [case.x, *case.weights]), case.gradients()


def through_a_vectorized_map(case):
    return by_tape(case, lambda x: tf.vectorized_map(lambda one: case.model(one[None])[0], x))


def through_keras_vectorized_map_in_a_function(case):
    one = lambda one: case.model(one[None])[0]  # noqa: E731
    whole = tf.function(lambda: by_tape(case, lambda x: keras.ops.vectorized_map(one, x))[0])
    return whole(), case.gradients()


def through_a_map_in_a_function(case):
    one = lambda one: case.model(one[None])[0]  # noqa: E731
    whole = tf.function(lambda: by_tape(case, lambda x: tf.map_fn(one, x))[0])
    return whole(), case.gradients()


def computed_again(case):
    return by_tape(case, tf.recompute_grad(lambda x: case.model(x)))


def in_a_branch_of_a_batch_of_unknown_size(case):
    @tf.function(input_signature=[tf.TensorSpec((None, 4, 2))])
    def traced(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            ran = tf.cond(x[0, 0, 0] > -9, lambda: case.model(x), lambda: 0 * case.model(x))
            number = loss(ran)
        return tape.gradient(number, [x, *case.weights])

    return traced(case.x), case.gradients()


def of_each_sample(case):
    def one(sample):
        with tf.GradientTape() as tape:
            tape.watch(sample)
            number = loss(case.model(sample[None]))
        return tape.gradient(number, [sample, *case.weights])

    upstream = 3 * case.outputs**2
    by_weights = [np.einsum("sk,sk...->s...", upstream, j) for j in case.jacobians[1:]]
    return tf.vectorized_map(one, case.x), [case.gradients()[0], *by_weights]


def jacobian(case):
    with tf.GradientTape() as tape:
        tape.watch(case.x)
        y = case.model(case.x)
    return tape.jacobian(y, [case.x, *case.weights]), case.jacobians


def batch_jacobian_in_a_function(case):
    @tf.function
    def traced(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = case.model(x)
        return tape.batch_jacobian(y, x)

    return [traced(case.x)], [np.einsum("sksi...->ski...", case.jacobians[0])]


def hessian(case):
    with tf.GradientTape() as outer:
        outer.watch(case.x)
        with tf.GradientTape() as tape:
            tape.watch(case.x)
            number = loss(case.model(case.x))
        slope = tape.gradient(number, case.x)
    return [outer.jacobian(slope, case.x)], [case.hessian]


def forward(case):
    inputs = [case.x, *case.weights]
    directions = [tf.cos(tf.range(tf.size(v), dtype=v.dtype)) for v in inputs]
    directions = [tf.reshape(d, v.shape) for d, v in zip(directions, inputs, strict=True)]
    with tf.autodiff.ForwardAccumulator(inputs, directions) as accumulator:
        y = case.model(case.x)
    pairs = zip(case.jacobians, directions, strict=True)
    return [accumulator.jvp(y)], [sum(np.tensordot(j, d, d.ndim) for j, d in pairs)]


WAYS = [
    by_tape,
    through_a_vectorized_map,
    through_keras_vectorized_map_in_a_function,
    through_a_map_in_a_function,
    computed_again,
    in_a_branch_of_a_batch_of_unknown_size,
    of_each_sample,
    jacobian,
    batch_jacobian_in_a_function,
    hessian,
    forward,
]
# TensorFlow refuses to put loops of different lengths side by side, Keras's own too. Those of a GRU
# are as long as the sequences.
REFUSED = [(of_each_sample, name) for name in ("backwards, masked", "bidirectional, masked")]


# Two directions are the kernel twice: in `make test` by plain and forward derivatives alone.
TWICE = [(way, "bidirectional, masked") for way in WAYS if way not in (by_tape, forward)]
# Second derivatives through a mask: test_higher_derivatives_by_input_and_weights has them, too.
NIGHTLY = [*TWICE, (hessian, "backwards, masked"), (hessian, "GRU, backwards, masked")]


@pytest.mark.parametrize(
    ("way", "name"),
    [
        pytest.param(*pair, marks=[pytest.mark.nightly] if pair in NIGHTLY else [])
        for pair in itertools.product(WAYS, LAYERS)
        if pair not in REFUSED
    ],
)
def test_every_way_to_differentiate_gives_what_stock_keras_gives(way, name):
    found, expected = way(make_case(name))
    for ours, stock in zip(found, expected, strict=True):
        assert ours.shape == stock.shape
        np.testing.assert_allclose(ours, stock, rtol=0, atol=3e-6 * (1 + np.abs(stock).max()))


@pytest.mark.parametrize("name", ["bidirectional, masked", "GRU, started"])
def test_functions_that_run_eagerly_give_the_same_gradients(name):
    tf.config.run_functions_eagerly(True)
    try:
        found, expected = by_tape(make_case(name))
    finally:
        tf.config.run_functions_eagerly(False)
    for ours, stock in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, stock, rtol=0, atol=3e-6 * (1 + np.abs(stock).max()))


def second_in_a_function(case):
    @tf.function
    def traced(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                number = loss(case.model(x))
            curve = tf.reduce_sum(inner.gradient(number, x) ** 2)
        return outer.gradient(curve, [x, *case.weights])

    return traced(case.x)


def third_with_persistent_tapes(case):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(case.x)
        slope = tape.gradient(loss(case.model(case.x)), case.x)
        curve = tape.gradient(tf.reduce_sum(slope**2), case.x)
        number = tf.reduce_sum(curve**2)
    return tape.gradient(number, [case.x, *case.weights])


def third_without_tapes(case):
    @tf.function
    def traced(x):
        [slope] = tf.gradients(loss(case.model(x)), [x])
        [curve] = tf.gradients(tf.reduce_sum(slope**2), [x])
        return tf.gradients(tf.reduce_sum(curve**2), [x])

    return traced(case.x)


@pytest.mark.parametrize(
    "name", ["backwards, masked", "GRU, backwards, masked", "GRU, reset before, started"]
)
@pytest.mark.parametrize(
    "derivatives", [second_in_a_function, third_with_persistent_tapes, third_without_tapes]
)
def test_higher_derivatives_by_input_and_weights(derivatives, name):
    case = make_case(name)
    decelerate(case.model)
    stock = derivatives(case)
    accelerate(case.model)
    for ours, expected in zip(derivatives(case), stock, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("make", "options"),
    [(L.LSTMCell, {}), (L.GRUCell, {}), (L.GRUCell, {"reset_after": False})],
)
def test_gradients_through_the_gates_of_the_kernel_are_those_of_the_scan(rng, make, options):
    cell = make(2, **options)
    cell.build((None, 3))
    x, state = tf.constant(rng.normal(size=(4, 3, 3)), "float32"), tf.ones((3, 2))
    states = [state] * len(kind_of(cell).states)
    found = []
    for run in (run_fused, scan_cell):
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = run(cell, x, tuple(states), None).values
            number = tf.add_n([(n + 1) * loss(v) for n, v in enumerate(values.values())])
        found.append(tape.gradient(number, [x, *[w.value for w in cell.trainable_weights]]))
    for ours, expected in zip(*found, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["bidirectional, masked", "GRU, started"])
def test_other_weights_for_each_element_of_a_vectorized_map(name):
    case = make_case(name)
    model, x = case.model, case.x
    scales = tf.constant([0.5, 1.0])

    def mapped(mapping):
        def one(scale):
            weights = [scale * weight for weight in model.trainable_weights]
            return model.stateless_call(weights, model.non_trainable_variables, x)[0]

        with tf.GradientTape() as tape:
            tape.watch(scales)
            number = loss(mapping(one, scales))
        return tf.concat([[number], tape.gradient(number, scales)], 0)

    expected = mapped(lambda one, scales: tf.stack([one(scales[0]), one(scales[1])]))
    np.testing.assert_allclose(mapped(tf.vectorized_map), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_a_vectorized_map_over_batches_with_an_empty_part(name):
    """A batch of unknown size is cut in as many parts as there are threads, whatever its size."""
    case = make_case(name)
    batches = tf.stack([case.x, 2 * case.x])  # smaller than a part

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, None, 4, 2))])
    def mapped(batches):
        return tf.vectorized_map(case.model, batches)

    expected = [case.model(batch) for batch in batches]
    np.testing.assert_allclose(mapped(batches), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_a_jacobian_of_a_batch_with_an_empty_part(name):
    case = make_case(name)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, 4, 2))])
    def jacobian(x):
        with tf.GradientTape() as tape:
            y = case.model(x)
        return tape.jacobian(y, case.weights)

    for ours, expected in zip(jacobian(case.x), case.jacobians[1:], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
