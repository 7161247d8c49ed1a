"""A compiled recording is used again while the model's code would do the same, no longer."""

import keras
import numpy as np
import pytest

from lstm_states import record_traces
from lstm_states.traces import recorder

L = keras.layers
X = np.random.default_rng(0).normal(size=(4, 5, 2)).astype("float32")


class Scaled(L.Layer):
    """Reads what it multiplies by from attributes of several kinds."""

    def __init__(self):
        super().__init__()
        self._scale = 1.0
        self._by_name = {"a": [1.0, {"b": 1.0}]}
        self.factors = [1.0, np.ones(2, "float32")]
        self.seen = None

    def call(self, z):
        self.seen = z  # a tensor of the graph: no reason to compile anew
        a, b = self._by_name["a"]
        return z * self._scale * a * b["b"] * self.factors[0] * self.factors[1]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.scaled, self.lstm, self.head = Scaled(), L.LSTM(3), L.Dense(1)

    def call(self, z):
        return self.head(self.lstm(self.scaled(z)))


@pytest.fixture
def compiled(monkeypatch):
    """A list that grows when a recording is compiled."""
    times, true = [], recorder._compile
    monkeypatch.setattr(recorder, "_compile", lambda *a: times.append(1) or true(*a))
    return times


@pytest.fixture
def model():
    model = Subclassed()
    model.compile("sgd", "mse")
    model(X)
    return model


def set_scale(layer):
    layer._scale = 2.0


def set_inner_list(layer):
    layer._by_name["a"][0] = 2.0


def set_inner_dict(layer):
    layer._by_name["a"][1]["b"] = 2.0


def set_list(layer):
    layer.factors[0] = 2.0


def set_array(layer):
    layer.factors[1][:] = 2.0


@pytest.mark.parametrize("change", [set_scale, set_inner_list, set_inner_dict, set_list, set_array])
def test_what_a_layer_reads_is_read_anew(model, change, compiled):
    before = record_traces(model, X)["outputs"].values
    compiled.clear()
    change(model.scaled)
    after = record_traces(model, X)["outputs"].values
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, model(X), rtol=1e-5, atol=1e-6)
    assert len(compiled) == 1


def test_training_and_predicting_compile_nothing_anew(model, compiled):
    record_traces(model, X)
    compiled.clear()
    for _ in range(2):
        model.fit(X, np.zeros((4, 1)), verbose=0)
        model.predict(X, verbose=0)
        model.evaluate(X, np.zeros((4, 1)), verbose=0)
        traces = record_traces(model, X)
    np.testing.assert_allclose(traces["outputs"], model(X), rtol=1e-5, atol=1e-6)
    assert not compiled


def test_states_of_one_shape_are_for_the_layer_that_they_name(compiled):
    lstms = [L.LSTM(3, return_sequences=True, name=name) for name in "ab"]
    model = keras.Sequential([keras.Input((5, 2)), *lstms])
    start = np.ones((4, 3), "float32")
    for name, other in ("ab", "ba"):
        traces = record_traces(model, X, initial_state={name: (start, start)})
        np.testing.assert_array_equal(traces[f"{name}/initial_cell"], start)
        np.testing.assert_array_equal(traces[f"{other}/initial_cell"], 0 * start)
    assert len(compiled) == 1
