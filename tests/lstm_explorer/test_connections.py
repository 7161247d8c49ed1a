"""What a page says of the weights that connect units."""

import keras
import numpy as np
import pytest
import xarray as xr

from lstm_explorer import explore
from lstm_states import Edit, record_traces
from tests.lstm_explorer.test_content import read

L = keras.layers
X = np.random.default_rng(0).normal(size=(3, 6, 3)).astype("float32")


def connections(model, **options):
    """Of each layer, what its connections are from and to."""
    shown = read(explore(record_traces(model, X), model=model, inputs=X, **options).page)
    return {layer["address"]: layer["connections"] for layer in shown["layers"]}


def make(*layers):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((6, 3)), *layers])


def test_the_strongest_weights_are_told_from_both_sides():
    low, high = L.LSTM(4, return_sequences=True, name="low"), L.GRU(2, name="high")
    model = make(L.Masking(), low, L.Dropout(0.5), high)
    kernel = high.cell.kernel.numpy() * 0
    kernel[3, [1, 3, 5]] = 3, 0, 4  # from unit 3 below to unit 1, over the gates: 5
    kernel[2, 0] = -7
    high.cell.kernel.assign(kernel)
    inputs, own, upward = connections(model)["low"]
    assert [inputs["direction"], inputs["of"], inputs["names"]] == [
        "from",
        "what it is given",
        list("012"),
    ]
    assert [own["direction"], own["of"]] == ["from", "low"]
    below, within = connections(model)["high"]
    assert [below["of"], within["of"]] == ["low", "high"]
    assert [below["places"][1][0], below["strength"][1][:2]] == [3, [5.0, 0.0]]
    assert [below["places"][0][0], below["strength"][0][0]] == [2, 7.0]
    assert [upward["direction"], upward["of"], upward["names"]] == ["to", "high", ["0", "1"]]
    assert [upward["places"][3], upward["strength"][3]] == [[1, 0], [5.0, 0.0]]
    recurrent = low.cell.recurrent_kernel.numpy().reshape(4, 4, 4)
    strength = np.sqrt((recurrent**2).sum(1))
    assert own["places"] == np.argsort(-strength, 0).T[:, :5].tolist()
    assert inputs["strength"][0][0] > 0


def test_only_what_is_known_to_be_below_is_named():
    both = L.Bidirectional(L.LSTM(2, return_sequences=True, name="each"), name="both")
    model = make(
        both, L.Dense(4), L.LSTM(2, return_sequences=True, name="mixed"), L.LSTM(2, name="top")
    )
    found = connections(model)
    named = {address: [one["of"] for one in own] for address, own in found.items()}
    assert named.pop("mixed") == ["what it is given", "mixed", "top"]
    assert named.pop("top") == ["mixed", "top"]
    assert all(own[0] == "what it is given" for own in named.values())
    assert len(named) == 2


def sources(model, x, inputs=X):
    """Of each layer, what its first connections are from, and how that is called."""
    named = xr.DataArray(inputs, dims=("sample", "time", "f"), coords={"f": list("abc")})
    shown = read(explore(record_traces(model, x), model=model, inputs=named).page)
    return {
        a["address"]: (a["connections"][0]["of"], a["connections"][0]["names"][0])
        for a in shown["layers"]
    }


class Reversed(L.LSTM):
    def call(self, sequences, initial_state=None, **options):
        return super().call(sequences, initial_state, **options)[..., ::-1]


class Rewired(keras.Model):
    def __init__(self, first, second):
        super().__init__()
        self.first, self.between, self.second = first, L.Dense(3), second

    def call(self, x):
        return self.second(self.between(self.first(x)))


def test_a_source_that_is_not_known_for_sure_has_no_name():
    unknown = "what it is given", "0"
    given, other = keras.Input((6, 3)), keras.Input((6, 3))
    rnn = lambda name, kind=L.LSTM: kind(3, return_sequences=True, name=name)  # noqa: E731
    inner = keras.Sequential([keras.Input((6, 3)), rnn("a")], name="inner")
    assert sources(keras.Model(given, inner(L.Dense(3)(given))), X) == {"inner/a": unknown}
    two = keras.Model([given, other], L.Add()([rnn("a")(given), rnn("b")(other)]))
    assert sources(two, [X, X[::-1]]) == {"a": unknown, "b": unknown}
    states = L.LSTM(3, return_sequences=True, return_state=True, name="a")(given)[1:]
    decoder = rnn("b")(sequences=L.Dense(3)(given), initial_state=states)
    assert sources(keras.Model(given, decoder), X) == {"a": ("what it is given", "a"), "b": unknown}
    turned = keras.Model(given, rnn("b")(rnn("a", Reversed)(given)))
    assert sources(turned, X)["b"] == unknown
    first, second = rnn("a"), rnn("b")
    keras.Model(given, second(first(given)))
    rewired = Rewired(first, second)
    rewired(X)
    assert set(sources(rewired, X).values()) == {unknown}
    plain = keras.Model(given, second(first(given)))
    assert sources(plain, X) == {"a": ("what it is given", "a"), "b": ("a", "0")}


def test_what_is_no_model_is_refused():
    traces = record_traces(make(L.LSTM(2, name="u")), X)
    for wrong in ("model.keras", 5, [1]):
        with pytest.raises((TypeError, ValueError), match=r"model"):
            explore(traces, model=wrong)


def test_stacked_cells_and_those_without_weights():
    stack = L.RNN(
        [L.LSTMCell(3, name="a"), L.GRUCell(2, name="b")], return_sequences=True, name="s"
    )
    named = {
        a: [one["of"] for one in own]
        for a, own in connections(make(stack, L.LSTM(2, name="t"))).items()
    }
    assert named == {
        "s/a": ["what it is given", "s/a", "s/b"],
        "s/b": ["s/a", "s/b", "t"],
        "t": ["s/b", "t"],
    }
    assert connections(make(L.LSTM(3, name="u")), layers="u")["u"]
    without = read(explore(record_traces(make(L.LSTM(3, name="u")), X)).page)
    assert without["layers"][0]["connections"] == []


def test_other_weights_are_refused():
    model = make(L.LSTM(4, name="low"))
    traces = record_traces(model, X)
    edited = record_traces(model, X, edits=[Edit("low", "cell", set=0.0, time=1)])
    assert explore({"a": traces, "b": edited}, model=model)
    model.layers[0].cell.bias.assign_add(np.ones(16))
    with pytest.raises(ValueError, match="the traces were recorded with other weights than model"):
        explore(traces, model=model)
    later = {"now": record_traces(model, X), "before": traces}
    with pytest.raises(ValueError, match="version 'before' of the traces was recorded with other"):
        explore(later, model=model)
