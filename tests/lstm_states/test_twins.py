"""Copies of models that hold what Keras doesn't know: losses, metrics, layers of one's own."""

import keras
import numpy as np
import pytest
from keras import ops

from experiments.forecasting.training import save_model
from experiments.shared.models import describe_layers
from lstm_states import (
    StreamingSession,
    accelerate,
    record_gradients,
    record_traces,
    reset_states,
    save_states,
    stateful_twin,
    stateless_twin,
    streaming_twin,
)
from tests.conftest import shake

L = keras.layers
X = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
Y = np.ones((4, 1), "float32")


def squared(true, predicted):
    return ops.mean((true - predicted) ** 2, -1)


class Squared(keras.losses.Loss):
    def call(self, true, predicted):
        return squared(true, predicted)


class Largest(keras.metrics.Metric):
    def __init__(self, name="largest", **options):
        super().__init__(name=name, **options)
        self.value = self.add_variable((), initializer="zeros")

    def update_state(self, true, predicted, sample_weight=None):
        self.value.assign(ops.maximum(self.value, ops.max(abs(predicted))))

    def result(self):
        return self.value + 0.0


class Picky(Largest):
    def __init__(self, factor, name="picky", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.factor = factor


class Own(keras.optimizers.SGD):
    pass


class Halved(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.1 / (1.0 + ops.cast(step, "float32"))

    def get_config(self):
        return {}


class Doubled(L.Layer):
    def call(self, x):
        return 2 * x


def double(z):
    return 2 * ops.tanh(z)


def build(*layers, shape=(6, 3), **compiled):
    model = keras.Sequential([keras.Input(shape), *layers, L.Dense(1)])
    if compiled:
        model.compile(**{"optimizer": "sgd", "loss": "mse", **compiled})
    return shake(model, np.random.default_rng(1))


@pytest.mark.parametrize(
    "compiled",
    [
        {"loss": squared},
        {"loss": lambda true, predicted: squared(true, predicted)},
        {"loss": Squared()},
        {"metrics": [Largest(), squared], "weighted_metrics": ["mae"]},
        {"optimizer": Own(0.1)},
        {"optimizer": keras.optimizers.Adam(Halved())},
    ],
    ids=["function", "lambda", "Loss", "metrics", "optimizer", "schedule"],
)
def test_what_a_model_is_compiled_with_goes_over_to_its_twin(compiled):
    model = build(Doubled(), L.LSTM(3), **compiled)
    expected = model.evaluate(X, Y, verbose=0, return_dict=True)
    twin = stateless_twin(model)
    assert twin.evaluate(X, Y, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-6)
    weights = model.get_weights()
    twin.fit(X, Y, verbose=0)
    assert type(twin.optimizer) is type(model.optimizer)
    assert int(twin.optimizer.iterations) == 1
    assert int(model.optimizer.iterations) == 0
    assert any((a != b).any() for a, b in zip(weights, twin.get_weights(), strict=True))
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)
    # A metric's value belongs to one model.
    model.reset_metrics()
    assert "largest" not in expected or float(twin.get_metrics_result()["largest"]) > 0


def test_a_twin_that_can_not_be_compiled_says_why():
    model = build(L.LSTM(3), metrics=[Picky(2)])
    with pytest.warns(UserWarning, match=r"is not compiled, .*TypeError: .*factor"):
        twin = stateless_twin(model)
    assert model.compiled
    assert not twin.compiled
    np.testing.assert_allclose(twin(X), model(X), atol=1e-6)


def test_classes_and_functions_of_ones_own_are_copied_wherever_they_are():
    inner = keras.Sequential(
        [keras.Input((6, 3)), Doubled(), L.LSTM(3, activation=double, return_sequences=True)]
    )
    cells = [L.LSTMCell(3, activation=lambda z: ops.tanh(z) / 2), L.GRUCell(2, activation=double)]
    model = build(inner, L.RNN(cells, return_sequences=True), L.LSTM(2, activation=lambda z: z / 3))
    for twin in (stateless_twin(model), stateful_twin(model, batch_size=4), streaming_twin(model)):
        np.testing.assert_allclose(twin(X), model(X), atol=1e-6)


# A free number of steps


def several():
    """Two inputs, a nested model, a wrapper, an unrolled layer; 6 steps."""
    tokens, frames = keras.Input((6,), dtype="int32"), keras.Input((6, 4, 3))
    image = keras.Sequential([keras.Input((4, 3)), L.Flatten(), L.Dense(3)])
    x = L.Concatenate()([L.Embedding(9, 3)(tokens), L.TimeDistributed(image)(frames)])
    low = L.LSTM(4, return_sequences=True, unroll=True)
    inner = keras.Sequential([keras.Input((6, 6)), low, L.GRU(3, return_sequences=True)])
    h = inner(x)
    return shake(keras.Model([tokens, frames], L.Dense(2)(h)), np.random.default_rng(2))


def test_a_model_of_a_fixed_number_of_steps_is_streamed_by_its_twin():
    model = several()
    rng = np.random.default_rng(3)
    x = [rng.integers(0, 9, (2, 6)), rng.normal(size=(2, 6, 4, 3)).astype("float32")]
    twin = streaming_twin(model)
    assert [spec.shape[1] for spec in twin.inputs] == [None, None]
    session = StreamingSession(twin, samples=2)
    assert list(session.states) == list(record_traces(model, x).attrs["layers"])
    shown = [session.step([values[:, t] for values in x]) for t in range(6)]
    np.testing.assert_allclose(np.stack(shown, 1), model.predict(x, verbose=0), atol=2e-6)
    assert model.input_shape == [(None, 6), (None, 6, 4, 3)]


def test_a_masking_stateful_model_of_fixed_steps_is_streamed():
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(2, 6, 3)),
            L.Masking(),
            L.LSTM(4, stateful=True, return_sequences=True),
            L.Dense(1),
        ]
    )
    shake(model, np.random.default_rng(4))
    x = X[:2].copy()
    x[0, :2] = x[1, 3] = 0
    session = StreamingSession(streaming_twin(model), samples=2)
    shown = [session.run(x[:, :4]), session.run(x[:, 4:])]
    np.testing.assert_allclose(np.concatenate(shown, 1), model(x), atol=2e-6)


def test_a_layer_that_needs_the_number_of_steps_is_refused_with_the_cause():
    model = build(L.LSTM(3, return_sequences=True), L.Flatten())
    with pytest.raises(ValueError, match=r"can't be copied .*last axis|can't be copied .*[Dd]ense"):
        streaming_twin(model)
    with pytest.raises(ValueError, match=r"\(None, 6, 3\); .*or use streaming_twin\(model\)"):
        StreamingSession(build(L.LSTM(3)))


# What is no model


class OfKeras2:
    name, built, inputs, layers = "old", True, [], []


OfKeras2.__module__ = "tf_keras.src.engine.training"


@pytest.mark.parametrize(
    "use",
    [
        lambda model: record_traces(model, X),
        lambda model: record_gradients(model, X),
        StreamingSession,
        accelerate,
        describe_layers,
        reset_states,
        lambda model: save_states(model, "never"),
        lambda model: save_model(model, "never"),
        stateless_twin,
        streaming_twin,
    ],
)
def test_what_is_no_model_of_this_keras_is_named(use):
    for model, message in [
        (OfKeras2(), "of type tf_keras.src.engine.training.OfKeras2; it must be a keras.Model"),
        (None, "model is None"),
        ("model.keras", r"model is 'model\.keras' .*keras\.models\.load_model"),
        (L.LSTM(3, name="low"), r"wrap layer 'low': keras\.Sequential"),
    ]:
        with pytest.raises(TypeError, match=message):
            use(model)
