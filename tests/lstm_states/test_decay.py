"""How a change of a unit decays: known gates, known matrices, and what is refused."""

import keras
import numpy as np
import pytest

from lstm_states import (
    UnsupportedLayerError,
    measure_half_lives,
    measure_states,
    record_decay,
    record_traces,
)
from lstm_states.decay import half_life

L = keras.layers
BIASES = np.array([-1.0, 1.0, 9.0])  # of the gate that keeps; the last one keeps nearly all
X = np.random.default_rng(0).normal(size=(3, 9, 2)).astype("float32")


class Fold(L.Layer):
    """Each of 2 sensors is a sequence of its own."""

    def __init__(self):
        super().__init__(name="fold")
        self.rnn = L.SimpleRNN(1, name="rnn")

    def call(self, z):
        return keras.ops.reshape(self.rnn(keras.ops.reshape(z, (-1, 2, 1))), (-1, 2))


def constant(kind, **options):
    """A layer whose gates depend on nothing."""
    layer = getattr(L, kind)(3, name="layer", return_sequences=True, **options)
    model = keras.Sequential([keras.Input((None, 2)), layer])
    weights = [np.zeros(w.shape) for w in layer.get_weights()]
    weights[0][:, 6:] = 1.0  # of the candidate; an LSTM has its output gate behind it
    weights[-1].reshape(-1, 3)[{"LSTM": 1, "GRU": 0}[kind]] = BIASES
    layer.set_weights(weights)
    return model


@pytest.mark.parametrize(("kind", "backwards"), [("LSTM", False), ("GRU", True)])
def test_a_constant_gate_has_the_same_half_life_by_itself_and_by_a_change(kind, backwards):
    model = constant(kind, go_backwards=backwards)
    mask = np.ones((3, 9), bool)
    mask[0, 4:6] = False  # no step of the change's way
    mask[1, 3] = mask[1, 5] = False  # no change at all, whichever way
    time = 5 if backwards else 3
    mask[0, time] = True
    found = record_decay(model, X, "layer", time=time, mask=mask)
    share = 1 / (1 + np.exp(-BIASES))
    steps = np.arange(6)[:, np.newaxis]
    assert found.sizes["step"] == 6
    np.testing.assert_allclose(found["left"], share**steps, atol=2e-3)
    expected = np.log(2) / -np.log(share)
    np.testing.assert_allclose(found["half_life"], [*expected[:2], np.inf], rtol=2e-3)
    traces = record_traces(model, X, mask=mask)
    gates = measure_half_lives(traces)["half_life"]
    np.testing.assert_allclose(gates.sel(layer="layer"), expected, rtol=1e-3)
    assert measure_states(traces)["half_life"].item() == pytest.approx(expected[1], rel=1e-5)
    assert found.attrs["state"] == ("cell" if kind == "LSTM" else "hidden")


def test_other_units_answer_to_a_change():
    matrix = np.array([[0.5, 0.4], [-0.8, 0.9]])
    cells = [L.SimpleRNNCell(2, activation="linear", name=name) for name in ("lower", "upper")]
    model = keras.Sequential([L.Input((None, 2)), L.RNN(cells, name="rnn")])
    model.layers[0].set_weights([np.eye(2), np.eye(2), np.zeros(2), np.eye(2), matrix, np.zeros(2)])
    found = record_decay(model, X[:1], "rnn/upper", time=4)
    powers = [np.linalg.matrix_power(matrix, n).diagonal() for n in range(5)]
    np.testing.assert_allclose(found["left"], np.abs(powers), atol=2e-3)


def test_units_that_take_several_recordings_are_followed_alike(monkeypatch):
    """What is held at a time is one batch, not the runs of all units."""
    model = constant("LSTM")
    together = record_decay(model, X, "layer", time=3)
    rows = []

    def counted(model, x, **options):
        rows.append(len(x))
        return record_traces(model, x, **options)

    monkeypatch.setattr("lstm_states.decay.record_traces", counted)
    monkeypatch.setattr("lstm_states.decay.BATCH_SIZE", 7)
    apart = record_decay(model, X, "layer", time=3)
    assert rows == [6, 6]
    np.testing.assert_allclose(apart["left"], together["left"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("left", "steps"),
    [([1, 0.5, 0.9], 1.0), ([1, 0.9, 0.8], np.inf), ([1, np.nan, 0.1], np.nan), ([1.0], np.inf)],
)
def test_half_lives_are_read_off(left, steps):
    np.testing.assert_equal(half_life(np.array(left, float)), steps)


def test_what_cannot_be_followed_is_refused():
    model = constant("LSTM")
    cases = {
        r"layer is 'lstm'; the model has \['layer'\]": ("lstm", {}),
        r"quantity is 'forget_gate'; the states of 'layer' are \('hidden', 'cell'\)": (
            "layer",
            {"quantity": "forget_gate"},
        ),
    }
    cases |= {
        r"layer is \['layer'\]; the model has": (["layer"], {}),
        "add is 'a'; it must be a finite number": ("layer", {"add": "a"}),
        "add is nan; it": ("layer", {"add": np.nan}),
        "time is None; it must be an integer": ("layer", {"time": None}),
    }
    for says, (layer, options) in cases.items():
        with pytest.raises(ValueError, match=says):
            record_decay(model, X, layer, **{"time": 3, **options})
    conv = keras.Sequential([keras.Input((5, 4, 1)), L.ConvLSTM1D(2, 3, name="conv")])
    with pytest.raises(UnsupportedLayerError, match=r"axes \('width', 'unit'\)"):
        record_decay(conv, np.zeros((1, 5, 4, 1)), "conv", time=0)
    with pytest.raises(ValueError, match=r"add is 0\.0, which is 0 or lost in rounding"):
        record_decay(model, X, "layer", time=3, add=0.0)
    live = keras.Sequential([keras.Input((5, 2), batch_size=1), L.LSTM(2, stateful=True)])
    with pytest.raises(ValueError, match=r"is stateful.*stateless_twin"):
        record_decay(live, X[:1, :5], live.layers[0].name, time=0)


def test_calls_and_rows_that_an_edit_cannot_tell_apart_are_refused():
    given = keras.Input((2, 1))
    shared = L.SimpleRNN(1, name="shared", return_sequences=True)
    twice = keras.Model(given, shared(shared(given)))
    with pytest.raises(UnsupportedLayerError, match="'shared' is called several times"):
        record_decay(twice, X[:1, :2, :1], "shared", time=0)
    inputs = keras.Input((2, 2, 1))
    folded = keras.Model(inputs, Fold()(inputs))
    with pytest.raises(
        UnsupportedLayerError, match="'fold/rnn' receives 4 rows, not the 2 samples"
    ):
        record_decay(folded, np.zeros((1, 2, 2, 1)), "fold/rnn", time=0)
