"""Claim 9: layers that are known to hold the past, or the regime, or the same."""

import itertools

import numpy as np
import pytest

from experiments.data.made import make_regimes
from experiments.depth import regimes
from tests.experiments.depth.layers import Copies, Delays, Products, stack_of
from tests.experiments.shared.judge import judge

TASKS = {7: make_regimes(750, seed=7, **regimes.SERIES)}


def judged(upper, untrained):
    stacks = ({7: stack_of(1, Delays(12), upper(12))}, {7: stack_of(1, Delays(12), untrained(12))})
    found = regimes.measure_regime(*stacks, TASKS), regimes.measure_regime_past(*stacks, TASKS)
    return *judge(9, *found), found[0].merge(found[1]).isel(model=0)


def test_a_layer_that_holds_the_regime_alone_is_abstract_and_condensed():
    verdict, sides, found = judged(Products, Copies)
    assert (verdict, sides) == ("supported", ["holds", "holds"])
    assert float(found["past_layer_1"]) > 0.999  # a delay line holds it all
    assert float(found["past_layer_2"]) < 0.2
    assert float(found["regime_layer_2"]) > 0.85
    assert float(found["regime_gained_by_depth"]) == pytest.approx(
        float(found["regime_layer_2"] - found["regime_layer_1"])
    )
    assert float(found["regime_layer_2_untrained"]) == float(found["regime_layer_1_untrained"])


def test_a_layer_that_copies_the_one_below_adds_nothing():
    verdict, sides, found = judged(Copies, Copies)
    assert (verdict, sides) == ("refuted", ["fails", "fails"])
    for name in ("past_lost_by_depth", "regime_gained_by_depth", "regime_gained_by_training"):
        assert float(found[name]) == 0


def test_a_regime_that_an_untrained_stack_shows_too_was_not_learnt():
    verdict, sides, found = judged(Products, Products)
    assert (verdict, sides) == ("depends", ["holds", "fails"])
    assert float(found["regime_gained_by_depth"]) > 0.2


def test_baselines_and_the_ceiling():
    found = judged(Copies, Copies)[2]
    assert float(found["regime_linear"]) < 0.75 < 0.85 < float(found["regime_products"])
    assert float(found["regime_products"]) < float(found["regime_ceiling"]) < 0.97
    assert float(found["past_now"]) < 0.2


def test_the_best_guess_is_bayes_rule_over_all_paths():
    values = make_regimes(5, seed=1, **(regimes.SERIES | {"steps": 5}))["x"].values[:2, :, 0]
    likely = np.zeros((2, 2))
    for path in itertools.product([0, 1], repeat=5):
        chance = np.full(2, 0.5)
        for step in range(1, 5):
            switched = path[step] != path[step - 1]
            chance *= 1 / regimes.STAY if switched else 1 - 1 / regimes.STAY
            mean = regimes.SLOPE * (1 - 2 * path[step]) * values[:, step - 1]
            chance *= np.exp(-((values[:, step] - mean) ** 2) / 2 / (1 - regimes.SLOPE**2))
        likely[path[-1]] += chance
    expected = likely[1] / likely.sum(axis=0)
    np.testing.assert_allclose(regimes.best_guess(values)[:, -1], expected, rtol=1e-5)


def test_forecasts_lie_between_ridge_and_bayes_rule():
    found = regimes.measure_forecasts({7: lambda x: 0 * x}, TASKS)
    assert float(found["forecast_r2"][0]) == pytest.approx(0, abs=0.01)
    linear, best = (float(found[f"forecast_r2_{name}"][0]) for name in ("linear", "ceiling"))
    assert 0.4 < linear < best - 0.05
    # Knowing the regime, all but the noise is known: 0.81 less what switches cost.
    assert 0.6 < best < regimes.SLOPE**2
