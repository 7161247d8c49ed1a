from itertools import pairwise

import keras
import numpy as np
import pytest

from lstm_states import StreamingSession, check_traces, join_traces, record_traces
from tests.conftest import shake
from tests.lstm_states.traces.models import assert_close

L = keras.layers


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(2, 7, 3)).astype("float32")


# Keras warns although the mask does leave the nested model.
@pytest.mark.filterwarnings("ignore:(?s).*Layer 'inner'.*input with a mask attached")
def test_pieces_of_a_session_are_the_whole(x):
    inputs = keras.Input((None, 3))
    low = L.LSTM(4, return_sequences=True, name="low")(inputs)
    top = L.GRU(2, return_sequences=True, name="top")(
        keras.Model(inputs, low, name="inner")(inputs)
    )
    model = shake(keras.Model(inputs, [top, L.Dense(1)(top)]), np.random.default_rng(2))
    mask = np.ones((2, 7), bool)
    mask[1, 2:5] = False
    session, cuts = StreamingSession(model, samples=2), (0, 3, 4, 7)
    pieces = [session.record(x[:, a:b], mask=mask[:, a:b]) for a, b in pairwise(cuts)]
    joined, whole = join_traces(iter(pieces)), record_traces(model, x, mask=mask)
    for node, expected in zip(joined.subtree, whole.subtree, strict=True):
        assert node.path == expected.path
        assert set(node.variables) == set(expected.variables)
        for name, values in expected.variables.items():
            assert_close(node[name], values.values, 2e-6, f"{name} of {node.path}")
    assert np.nanmax(check_traces(joined).to_dataarray()) < 1e-5
    with pytest.raises(
        ValueError, match=r"'/top' of piece 1 doesn't begin where .* initial_hidden"
    ):
        join_traces([pieces[0], pieces[2]])
    with pytest.raises(ValueError, match="there are no pieces"):
        join_traces([])
    with pytest.raises(ValueError, match=r"piece 1 holds \['/inner', '/inner/low'\], the first"):
        join_traces([pieces[0], session.record(x, layers="inner")])
    with pytest.raises(ValueError, match="holds selected steps; all steps are needed"):
        join_traces([pieces[0].isel(time=slice(0, 2)), pieces[1]])
    with pytest.raises(ValueError, match=r"has sample \[0, 1\], the one before \[0\]"):
        join_traces([pieces[0].isel(sample=[0]), pieces[1]])


class PerStep(keras.Model):
    """Calls its layer once for each step, each from the end of the one before."""

    def __init__(self):
        super().__init__()
        self.lstm = L.LSTM(3, return_state=True, name="lstm")

    def call(self, x):
        states, shown = None, []
        for step in range(7):
            y, *states = self.lstm(x[:, step : step + 1], initial_state=states)
            shown.append(y)
        return keras.ops.stack(shown, 1)


def test_calls_of_one_layer_are_one_sequence(x):
    model = PerStep()
    model(x)
    traces = record_traces(model, x)
    joined = join_traces(traces["lstm"].children.values())
    whole = keras.Sequential([keras.Input((7, 3)), L.LSTM(3, return_sequences=True, name="whole")])
    whole.set_weights(model.get_weights())
    expected = record_traces(whole, x)["whole"]
    for name, values in expected.data_vars.items():
        assert_close(joined[name], values.values, 2e-6, name)


def test_selected_steps_are_refused_by_what_the_tree_says_of_them():
    layer = L.SimpleRNN(2, return_sequences=True, name="layer")
    model = keras.Sequential([keras.Input((None, 3)), layer])
    nested = keras.Sequential([keras.Input((None, 3)), keras.Sequential([layer], name="inner")])

    def record(time, model=model, **options):
        x = np.zeros((2, 3, 3), "float32")  # states stay 0: any piece may follow any other
        return record_traces(model, x, quantities="inputs", isel={"time": time}, **options)

    whole = join_traces([record(slice(None))] * 2)
    assert join_traces([whole, whole])["layer"].sizes["time"] == 12
    first = slice(0, 1)
    inner = record(first, nested)
    for piece in (record(first), record(first, outputs=False), inner, inner["inner/layer"]):
        with pytest.raises(ValueError, match="holds selected steps"):
            join_traces([piece, piece])
