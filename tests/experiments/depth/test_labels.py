"""Claim 22: heads that look back, ahead, and at their own step."""

import keras
import numpy as np
import pytest

from experiments.data.made import make_neighbours
from experiments.depth import labels
from tests.experiments.shared.judge import judge

BEHIND = {7: make_neighbours(300, seed=7, **labels.BEHIND)}
AHEAD = {7: make_neighbours(300, seed=7, **labels.AHEAD)}


def looks(offset):
    """A head whose answer at a step is the bit at ``offset`` from it."""
    model = keras.Sequential(
        [keras.Input((labels.STEPS, 1)),
         keras.layers.Conv1D(1, 3, padding="same", activation="sigmoid")]
    )  # fmt: skip
    kernel = np.zeros((3, 1, 1))
    kernel[1 + offset] = 20
    model.set_weights([kernel, np.array([-10.0])])
    return {7: model}


@pytest.mark.parametrize(
    ("previous", "following", "verdict", "sides"),
    [
        (-1, -1, "depends", ["holds", "fails"]),  # causal
        (-1, 1, "supported", ["holds", "holds"]),  # sees a step ahead
        (0, 0, "refuted", ["fails", "fails"]),  # sees its own step alone
    ],
)
def test_what_the_head_sees_decides(previous, following, verdict, sides):
    found = labels.measure_labels(looks(previous), looks(following), looks(1), BEHIND, AHEAD)
    assert judge(22, found) == (verdict, sides)
    assert float(found["accuracy_next_bidirectional"][0]) == 1


def test_two_inputs_are_enough_for_the_past_and_tell_nothing_of_the_future():
    found = labels.measure_labels(looks(0), looks(0), looks(0), BEHIND, AHEAD)
    assert float(found["accuracy_previous_linear"][0]) == 1
    assert 0.45 < float(found["accuracy_next_linear"][0]) < 0.55


def test_a_bidirectional_stack_reads_the_step_after():
    model = labels.build_bidirectional(labels.STEPS, 1, units=3, learning_rate=0.01)
    x = BEHIND[7]["x"].values[:2].copy()
    before = np.asarray(model(x))
    x[:, 5] += 1
    assert np.abs(np.asarray(model(x)) - before)[:, 4].max() > 1e-4
    assert model.loss == "binary_crossentropy"
