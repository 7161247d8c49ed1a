"""Models that were recorded leave nothing behind."""

import gc
import weakref

import keras
import numpy as np
import psutil
import pytest

from lstm_states import RecordTraces, StreamingSession, record_gradients, record_traces

L = keras.layers
X = np.random.default_rng(0).normal(size=(2, 3, 2)).astype("float32")


class Own(L.Layer):
    """Keeps a method of its own and another object's where a compiled function looks."""

    def __init__(self):
        super().__init__()
        self.inner = L.LSTM(2)
        self.back = self.call
        self.made = lambda: self

    def call(self, z):
        return self.inner(z)


def make():
    keras.backend.clear_session()
    own = Own()
    model = keras.Sequential([keras.Input((None, 2)), own, L.Dense(1, activation=lambda v: v)])
    model.compile("sgd", "mse")
    return model


def record(model):
    record_traces(model, X)


def differentiate(model):
    record_gradients(model, X)
    record_gradients(model, X, output=lambda y: y[:, 0] + len(model.layers))


def stream(model):
    StreamingSession(model, samples=2).step(X[:, 0])


def watch(model):
    model.fit(X, np.zeros((2, 1)), verbose=0, callbacks=[RecordTraces(X)])


@pytest.mark.parametrize("act", [record, differentiate, stream, watch])
def test_a_recorded_model_goes_when_nobody_holds_it(act):
    model = make()
    act(model)
    there = weakref.ref(model)
    layers = [weakref.ref(layer) for layer in model._flatten_layers()]
    del model
    gc.collect()
    assert there() is None
    assert [layer() for layer in layers] == [None] * len(layers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "most"), [(8, 10), pytest.param(80, 40, marks=pytest.mark.nightly)]
)
def test_memory_is_flat_over_many_models(count, most):
    process = psutil.Process()

    def run(count):
        for _ in range(count):
            record(make())
        gc.collect()
        return process.memory_info().rss / 2**20, len(gc.get_objects())

    (rss, objects), (more_rss, more_objects) = run(4), run(count)
    assert more_rss - rss < most  # MiB: a model that stays takes 2, with its functions 19
    assert more_objects - objects < count * 20
