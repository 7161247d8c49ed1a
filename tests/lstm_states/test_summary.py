"""Half-lives by the gates, and summaries of every kind of cell."""

import numpy as np
import pytest

from lstm_states import measure_half_lives, measure_states
from lstm_states.summary import measure_norms, measure_saturation
from tests.lstm_states.trees import node, tree


def test_half_lives_are_those_of_the_mean_logarithm():
    # Halved at each step; by a quarter and not at all by turns; never; at once.
    gate = [[[0.5, 0.25, 1.0, 0.0], [0.5, 1.0, 1.0, 0.5], [1e-9] * 4]]
    lstm = node([[1, 1, 0]], kind="LSTM", forget_gate=gate)
    gru = node([[1, 1]], kind="GRU", update_gate=[[[0.5**0.1, 0.9], [0.5**0.1, 0.9]]])
    found = measure_half_lives(tree(lstm=lstm, gru=gru))["half_life"]
    assert found.dims == ("layer", "unit")
    np.testing.assert_allclose(found.sel(layer="lstm"), [1, 1, np.inf, 0])
    lost = np.log(2) / -np.log(0.9)
    np.testing.assert_allclose(found.sel(layer="gru"), [10, lost, np.nan, np.nan])


def test_a_gate_above_1_by_an_edit_keeps_a_state_for_ever():
    lstm = node(kind="LSTM", forget_gate=[[[2.0], [1.0]]])
    assert measure_half_lives(tree(lstm=lstm))["half_life"].item() == np.inf


def test_what_has_no_such_gate_has_no_half_life():
    gate = np.full((1, 2, 2), 0.5)
    layers = tree(
        rnn=node(kind="SimpleRNN", hidden=gate),
        conv=node(kind="ConvLSTM", hidden=np.ones((1, 2, 3, 2)), cell=np.ones((1, 2, 3, 2))),
        padded=node(np.zeros((1, 2)), kind="LSTM", forget_gate=gate),
        unasked=node(kind="LSTM", hidden=gate),
        lstm=node(kind="LSTM", forget_gate=gate),
    )
    found = measure_half_lives(layers)["half_life"]
    assert found.isel(layer=slice(4)).isnull().all()
    np.testing.assert_allclose(found.sel(layer="lstm"), 1)


def test_units_that_were_chosen_keep_their_numbers():
    gates = {"a": ([3, 5], 0.5), "b": ([5, 9], 0.25)}
    layers = {
        name: node(kind="LSTM", forget_gate=np.full((1, 2, 2), f)).assign_coords(unit=units)
        for name, (units, f) in gates.items()
    }
    found = measure_half_lives(tree(**layers))["half_life"]
    np.testing.assert_allclose(found.sel(layer="a", unit=[3, 5, 9]), [1, 1, np.nan])
    np.testing.assert_allclose(found.sel(layer="b", unit=[3, 5, 9]), [np.nan, 0.5, 0.5])


def test_a_state_that_is_always_zero_has_no_relative_change():
    found = measure_states(tree(rnn=node(kind="SimpleRNN", hidden=np.zeros((1, 3, 2)))))
    assert found["hidden_size"].item() == 0
    assert np.isnan(found["change"].item())


def test_the_summary_takes_every_kind_of_cell():
    space = np.zeros((1, 2, 2, 2, 1))
    space[..., 1, :] = 2.0
    found = measure_states(
        tree(
            gru=node(
                [[1, 1, 0]],
                kind="GRU",
                hidden=[[[3.0], [-4.0], [99.0]]],
                update_gate=[[[0.05], [0.95], [0.95]]],
                reset_gate=[[[0.5], [0.95], [0.95]]],
            ),
            rnn=node(kind="SimpleRNN", hidden=[[[0.5], [0.95]]]),
            conv=node(kind="ConvLSTM", hidden=space, cell=space),
        )
    )
    gru, rnn, conv = (found.sel(layer=name) for name in ("gru", "rnn", "conv"))
    assert gru["hidden_size"] == pytest.approx(np.sqrt(12.5))
    assert gru["change"] == pytest.approx(7 / np.sqrt(12.5))
    assert gru["half_life"] == pytest.approx(-np.log(2) / np.log([0.05, 0.95]).mean())
    assert (gru["update_gate_closed"], gru["update_gate_open"]) == (0.5, 0.5)
    assert (gru["reset_gate_closed"], gru["reset_gate_open"]) == (0, 0.5)
    assert rnn["hidden_saturated"] == 0.5
    assert conv["cell_size"] == pytest.approx(np.sqrt(2))
    missing = [gru["cell_size"], rnn["half_life"], rnn["update_gate_open"], conv["half_life"]]
    assert np.isnan(missing).all()


def test_a_change_is_one_from_a_step_to_the_next():
    layer = node(kind="SimpleRNN", hidden=[[[1.0], [3.0], [1.0]]])
    for time, change in (([0, 1, 4], 2), ([4, 3, 0], 2), ([0, 4, 9], np.nan)):
        found = measure_states(tree(layer=layer.assign_coords(time=time)))["change"].item()
        np.testing.assert_allclose(found, change / np.sqrt(11 / 3))


@pytest.mark.parametrize(
    "measure", [measure_states, measure_half_lives, measure_saturation, measure_norms]
)
def test_derivatives_are_no_states(measure):
    derived = tree(layer=node(kind="LSTM", forget_gate=np.ones((1, 2, 1))))
    derived.attrs["derivatives"] = 1
    with pytest.raises(ValueError, match="traces holds derivatives"):
        measure(derived)
