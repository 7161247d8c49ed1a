"""The ledger of a state: its sum, its parts computed one by one, and what is refused."""

import keras
import numpy as np
import pytest

from lstm_states import Edit, measure_memory, record_gradients, record_traces
from tests.conftest import shake
from tests.lstm_states.traces.models import every_mask

L = keras.layers
STATES = {"LSTM": ("cell", "forget_gate"), "GRU": ("hidden", "update_gate")}


def traced(kind, *, backwards=False, edits=(), steps=10):
    rng = np.random.default_rng(0)
    layer = getattr(L, kind)(4, name="layer", go_backwards=backwards)
    model = keras.Sequential([keras.Input((steps, 3)), layer])
    shake(model, rng)
    x = rng.normal(size=(6, steps, 3)).astype("float32")
    start = [rng.normal(size=(6, 4)) for _ in range(2 if kind == "LSTM" else 1)]
    mask = every_mask(steps)
    return record_traces(model, x, mask=mask, initial_state={"layer": start}, edits=edits)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("kind", STATES)
def test_the_parts_are_what_each_step_wrote_and_sum_to_the_state(kind, backwards):
    traces = traced(kind, backwards=backwards)
    memory = measure_memory(traces, "layer", time=range(10))
    node = traces["layer"]
    state, gate = STATES[kind]
    peak = 1 + float(abs(node[state]).max())
    assert memory["residual"].max() < 1e-6 * peak
    np.testing.assert_array_equal(memory["state"], node[state])
    parts = memory["written"].sum("lag") + memory["start"]
    np.testing.assert_allclose(parts, node[state], atol=1e-6 * peak)
    # One by one: at a step, a product of gates over all real steps since.
    step = -1 if backwards else 1
    for sample, time, lag in ((0, 4, 2), (4, 7, 4), (5, 9, 0)):
        time = 9 - time if backwards else time
        written = time - step * lag
        own = node.isel(sample=sample)
        kept = [
            own[gate][t].values
            for t in range(written + step, time + step, step)
            if bool(own["mask"][t])
        ]
        value = (
            own["input_gate"] * own["candidate"]
            if kind == "LSTM"
            else (1 - own["update_gate"]) * own["candidate"]
        )[written].values
        expected = np.prod(kept, axis=0) * value if bool(own["mask"][written]) else 0
        found = memory["written"].sel(sample=sample, time=time, lag=lag)
        np.testing.assert_allclose(found, np.broadcast_to(expected, 4), atol=1e-6)


def test_a_window_sums_what_is_older():
    traces = traced("LSTM")
    whole = measure_memory(traces, "layer", time=[5, 9])
    part = measure_memory(traces, "layer", time=[5, 9], window=3)
    assert part.sizes["lag"] == 3
    np.testing.assert_array_equal(part["written"], whole["written"][:, :, :3])
    np.testing.assert_allclose(part["older"], whole["written"][:, :, 3:].sum("lag"), atol=1e-12)
    np.testing.assert_array_equal(measure_memory(traces, "layer")["time"], [9])
    assert measure_memory(traces, "layer", time=-1)["state"].equals(whole["state"].isel(time=[1]))


def test_an_edit_has_an_entry_of_its_own():
    edits = [Edit("layer", "cell", add=2.0, time=3)]
    memory = measure_memory(traced("LSTM", edits=edits), "layer", time=[2, 3, 9])
    node = traced("LSTM", edits=edits)["layer"]
    assert memory["residual"].max() < 1e-5
    assert (memory["edited"].sel(time=2) == 0).all()
    # Sample 5 has no masked step.
    np.testing.assert_allclose(memory["edited"].sel(time=3, sample=5), 2.0, atol=1e-5)
    left = 2.0 * node["forget_gate"][5, 4:].prod("time")
    np.testing.assert_allclose(memory["edited"].sel(time=9, sample=5), left, atol=1e-5)


def test_what_has_no_ledger_is_refused():
    traces = traced("LSTM")
    with pytest.raises(ValueError, match=r"layer is 'lstm'; the traces hold \['layer'\]"):
        measure_memory(traces, "lstm")
    with pytest.raises(ValueError, match="is a SimpleRNN: no quantity"):
        measure_memory(traced("SimpleRNN"), "layer")
    with pytest.raises(ValueError, match="time is 10; it must be steps of the 10"):
        measure_memory(traces, "layer", time=10)
    with pytest.raises(ValueError, match="window is 0"):
        measure_memory(traces, "layer", window=0)
    model = keras.Sequential([keras.Input((5, 3)), L.LSTM(4, name="layer"), L.Dense(1)])
    x = np.ones((2, 5, 3), "float32")
    with pytest.raises(ValueError, match="needs all quantities"):
        measure_memory(record_traces(model, x, quantities="cell"), "layer")
    with pytest.raises(ValueError, match="holds selected steps"):
        measure_memory(record_traces(model, x, isel={"time": [1, 3]}), "layer")
    with pytest.raises(ValueError, match="derivatives"):
        measure_memory(record_gradients(model, x), "layer")
