"""Claim 19: heads that see the right steps and heads that see others."""

import keras
import numpy as np
import pytest

from experiments.data.made import make_means
from experiments.depth import signals
from tests.experiments.shared.judge import judge

NEAR = {7: make_means(300, seed=7, **signals.NEAR)}
FAR = {7: make_means(300, seed=7, **signals.FAR)}


def sees(first, last):
    """A head on the mean of some steps, scaled as the target is."""
    model = keras.Sequential(
        [keras.Input((signals.STEPS, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    steps = np.arange(signals.STEPS)
    chosen = ((steps >= first) & (steps < last)).astype(float)
    model.set_weights([chosen[:, np.newaxis] / np.sqrt(chosen.sum()), np.zeros(1)])
    return {7: model}


@pytest.mark.parametrize(
    ("near", "far", "verdict", "sides"),
    [
        ((90, 100), (90, 100), "depends", ["holds", "fails"]),  # only the last 10 steps
        ((90, 100), (0, 10), "supported", ["holds", "holds"]),
        ((0, 10), (90, 100), "refuted", ["fails", "fails"]),
    ],
)
def test_what_the_head_sees_decides(near, far, verdict, sides):
    found = signals.measure_signals(sees(*near), sees(*far), sees(0, 10), NEAR, FAR)
    assert judge(19, found) == (verdict, sides)
    assert float(found["r2_far_pooled"][0]) == pytest.approx(1)


def test_ridge_solves_both():
    found = signals.measure_signals(sees(0, 1), sees(0, 1), sees(0, 1), NEAR, FAR)
    assert float(found["r2_near_ridge"][0]) > 0.99
    assert float(found["r2_far_ridge"][0]) > 0.99
    assert float(found["r2_signal_near"][0]) < 0.1


def test_the_pooled_head_reads_the_mean_of_all_h():
    model = signals.build_pooled(5, 1, learning_rate=0.01)
    x = np.random.default_rng(0).normal(size=(2, 5, 1)).astype("float32")
    hidden = model.layers[1](model.layers[0](x))
    head = model.layers[-1]
    np.testing.assert_allclose(
        model(x), np.asarray(hidden).mean(axis=1) @ head.kernel.numpy(), atol=1e-6
    )
    assert [layer.units for layer in model.layers[:2]] == [64, 32]
