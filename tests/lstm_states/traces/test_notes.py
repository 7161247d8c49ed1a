"""What is not recorded is named: layers left out, cells called by hand, layers that hide."""

import threading

import keras
import numpy as np
import pytest

from lstm_states import UnsupportedLayerError, record_gradients, record_traces
from tests.conftest import shake

L = keras.layers


class Feedback(keras.Model):
    """Goes on from the last prediction, with a cell that is called by hand."""

    def __init__(self):
        super().__init__()
        self.cell = L.LSTMCell(4)
        self.rnn = L.RNN(self.cell, return_state=True, name="rnn")
        self.head = L.Dense(3)

    def call(self, x):
        y, *states = self.rnn(x)
        predictions = [self.head(y)]
        for _ in range(2):
            y, states = self.cell(predictions[-1], states)
            predictions.append(self.head(y))
        return keras.ops.stack(predictions, 1)


class Hidden(L.Layer):
    """Holds a layer where Keras doesn't see it."""

    def __init__(self):
        super().__init__(name="hides")
        self.plain = {"inner": _Box(L.LSTM(2, name="boxed"))}

    def build(self, shape):
        self.plain["inner"].layer.build(shape)

    def call(self, x):
        return self.plain["inner"].layer(x)


class _Box:
    def __init__(self, layer):
        self.layer = layer


def by_hand():
    model = Feedback()
    model(np.ones((2, 5, 3)))
    return model, ["rnn (cell): steps of this LSTMCell outside a recurrent layer"]


def hidden():
    gru = L.GRU(3, name="gru")
    gru.build((None, 5, 3))
    inputs = keras.Input((5, 3))
    outputs = [
        L.Lambda(lambda z: gru(z))(inputs),
        Hidden()(inputs),
        # Keras calls the cells of a stack once more than it takes steps; that is no gap.
        L.Bidirectional(L.RNN([L.LSTMCell(2, name="a"), L.GRUCell(3, name="b")]))(inputs),
    ]
    return keras.Model(inputs, outputs), [
        f"{name}: a {kind} that the model runs but doesn't hold as a layer"
        for name, kind in (("gru", "GRU"), ("boxed", "LSTM"))
    ]


@pytest.mark.parametrize("build", [by_hand, hidden])
def test_what_runs_beside_the_layers_is_named(build):
    model, lines = build()
    x = np.ones((2, 5, 3), "float32")
    call = keras.layers.Layer.__call__
    for _ in range(2):  # the second time nothing is traced anew
        with pytest.warns(UserWarning, match="not everything recurrent is recorded") as told:
            traces = record_traces(model, x)
        assert sorted(traces.attrs["not_recorded"]) == sorted(lines)
        assert all(line in str(told[0].message) for line in lines)
    assert keras.layers.Layer.__call__ is call


class Odd(L.LSTM):
    def inner_loop(self, sequences, initial_state, mask, training=False):
        last, outputs, states = super().inner_loop(sequences, initial_state, mask, training)
        return last * 2, outputs * 2, states


class Drops(keras.Model):
    def __init__(self):
        super().__init__()
        self.low = L.LSTM(3, dropout=0.3, return_sequences=True, name="low")
        self.top = L.LSTM(2, name="top")

    def call(self, x):
        return self.top(self.low(x, training=True))


def test_a_layer_that_can_not_be_traced_is_left_out_and_run_by_keras(rng):
    low = Odd(4, return_sequences=True, name="low")
    model = shake(keras.Sequential([keras.Input((5, 3)), low, L.LSTM(3, name="top")]), rng)
    x = rng.normal(size=(2, 5, 3)).astype("float32")
    with pytest.raises(
        UnsupportedLayerError, match=r"'low' .* Exclude it from record_traces with layers="
    ):
        record_traces(model, x)
    traces = record_traces(model, x, layers="top")
    assert traces.attrs["not_recorded"] == ["low: this Odd overrides inner_loop"]
    np.testing.assert_allclose(traces["outputs"], model.predict(x, verbose=0), atol=1e-6)
    gradients = record_gradients(model, x, layers="top", output=lambda y: y[:, 0])
    assert gradients.attrs["not_recorded"] == traces.attrs["not_recorded"]


def test_a_layer_that_drops_is_left_out(rng):
    model, x = Drops(), np.ones((2, 5, 3), "float32")
    model(x)
    with pytest.raises(UnsupportedLayerError, match="'low' applies dropout in prediction"):
        record_traces(model, x)
    assert list(record_traces(model, x, layers="top").children) == ["top"]


@pytest.mark.filterwarnings("ignore:(?s).*input with a mask attached")
def test_a_mask_that_reaches_only_a_layer_left_out_is_no_fault(rng):
    low = L.LSTM(3, return_sequences=True, name="low")
    drop = L.Lambda(lambda z: z[:, ::2])
    model = shake(keras.Sequential([keras.Input((6, 3)), low, drop, L.LSTM(2, name="top")]), rng)
    x, mask = rng.normal(size=(2, 6, 3)).astype("float32"), np.arange(6) < [[4], [6]]
    assert record_traces(model, x, mask=mask, layers="top")["top"]["mask"].all()


def test_another_thread_s_calls_are_not_noted(rng):
    """While a model is recorded, a cell called by hand elsewhere is none of its."""
    cell, done = L.GRUCell(2), threading.Event()
    cell.build((None, 3))

    class Waits(L.Layer):
        def call(self, x):
            other = threading.Thread(target=lambda: cell(np.ones((1, 3)), [np.ones((1, 2))]))
            other.start()
            other.join()
            done.set()
            return x

    model = keras.Sequential([keras.Input((4, 3)), L.SimpleRNN(2, name="low"), Waits()])
    assert record_traces(model, np.ones((1, 4, 3))).attrs["not_recorded"] == []
    assert done.is_set()
