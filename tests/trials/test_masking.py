"""Verdicts on masks, and the other verdict where a mask is lost."""

import keras
import numpy as np
import pytest

from lstm_states.claims import decide, load_ledger
from lstm_states.trials import masking
from lstm_states.trials.stack import double_precision, randomise
from tests.clone import ROOT
from tests.trials import altered

LEDGER = load_ledger(ROOT / "claims.yaml").claims
LENGTHS = np.array([12, 7, 9])
X = np.random.default_rng(4).normal(size=(3, altered.STEPS, altered.FEATURES))
X[np.arange(altered.STEPS) >= LENGTHS[:, np.newaxis]] = 0


def verdict(number, data):
    evidence = {
        str(name): {"values": dict(zip(data["model"].values, values.values, strict=True))}
        for name, values in data.items()
    }
    return decide(LEDGER[number], evidence)["verdict"]


def masked(*layers):
    """A stack over any number of steps, in double precision."""
    with double_precision():
        made = [make() for make in layers]
        model = keras.Sequential([keras.Input((None, altered.FEATURES)), *made])
    randomise(model, seed=0)
    return model


def lstm(units=5, kind=keras.layers.LSTM):
    return lambda: kind(units, return_sequences=True)


def test_a_step_is_skipped_only_where_all_of_it_is_zero():
    found = masking.measure_zero_steps({"stock": masked(keras.layers.Masking, lstm(), lstm())}, X)
    assert verdict(23, found) == "depends"
    assert float(found["move_of_all_zero_step"][0]) == 0
    assert float(found["genuine_zero_lost"][0]) > 1e-3


def test_without_a_mask_nothing_is_skipped():
    found = masking.measure_zero_steps({"altered": masked(lstm(), lstm())}, X)
    assert verdict(23, found) == "refuted"
    assert float(found["genuine_zero_lost"][0]) == 0


def test_padding_leaves_no_trace():
    found = masking.measure_padding({"stock": masked(keras.layers.Masking, lstm(), lstm())}, X)
    assert verdict(24, found) == "supported"
    assert float(found["padded_minus_bare"][0]) < 1e-12


@pytest.mark.parametrize(
    "layers",
    [
        (lstm(), lstm()),  # no mask at all
        (keras.layers.Masking, lstm(), lstm(kind=altered.IgnoresMask)),  # layer 2 doesn't get it
        (keras.layers.Masking, lstm(kind=altered.IgnoresMask), lstm()),
    ],
)
def test_a_mask_that_does_not_reach_a_layer_flips_the_verdict(layers):
    assert verdict(24, masking.measure_padding({"altered": masked(*layers)}, X)) == "refuted"


def test_a_loss_that_counts_padding_is_found(monkeypatch):
    model = masked(keras.layers.Masking, lstm(), lstm())
    blind = lambda run: float(np.mean((np.asarray(run.sequence) - 1) ** 2))  # noqa: E731
    monkeypatch.setattr(masking, "_loss", blind)
    found = masking.measure_padding({"stock": model}, X)
    assert float(found["loss_padded_minus_bare"][0]) > 1e-3
    assert verdict(24, found) == "refuted"
