"""Claim 14: depth and time, on stacks that add by weights set by hand."""

import keras
import numpy as np
import pytest

from experiments.data.made import make_adding
from experiments.depth import adding
from experiments.shared.models import build_stacked
from tests.experiments.shared import altered
from tests.experiments.shared.judge import judge

TASKS = {7: make_adding(300, seed=7, **adding.SEQUENCES)}
OPEN, SHUT = 20.0, -20.0
SMALL = 0.01


def adds(depth):
    """A stack that solves the task: layer 1 writes a marked number to c, the others copy."""
    model = build_stacked(adding.STEPS, 2, units=[1] * depth)
    sums, copies = np.zeros((2, 4)), np.zeros((1, 4))
    sums[1, 0], sums[0, 2], copies[0, 2] = 2 * OPEN, SMALL, 1  # the columns are i f c o
    weights = [sums, np.zeros((1, 4)), np.array([SHUT, OPEN, 0, OPEN])]
    for _ in range(depth - 1):
        weights += [copies, np.zeros((1, 4)), np.array([OPEN, SHUT, 0, OPEN])]
    model.set_weights([*weights, np.array([[1 / SMALL]]), np.zeros(1)])
    return model


def answers_1(depth):
    model = build_stacked(adding.STEPS, 2, units=[1] * depth)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()[:-1]] + [np.ones(1)])
    return model


def forgets():
    """A stack without a memory."""
    layers = [altered.of_cells(altered.ForgetsBoth, 3) for _ in range(2)]
    return keras.Sequential(
        [keras.Input((adding.STEPS, 2)), *layers, keras.layers.Lambda(lambda h: h[:, -1]),
         keras.layers.Dense(1)]
    )  # fmt: skip


def depths(flat, deep):
    return adding.measure_depths({1: {7: flat(1)}, 2: {7: deep(2)}, 3: {7: deep(3)}}, TASKS)


@pytest.mark.parametrize("units", [[5], [4, 3], [2, 3, 4]])
def test_weights_are_counted_as_keras_counts_them(units):
    model = build_stacked(4, 2, units=units)
    assert adding.count_weights(units, 2) == model.count_params()


def test_equal_widths_come_nearest_to_the_weights():
    weights = adding.count_weights([16, 16], 2)
    assert [adding.equal_widths(depth, weights, 2) for depth in (1, 2, 3)] == [
        [27],
        [16, 16],
        [12, 12, 12],
    ]


def test_errors_by_depth_and_of_doing_nothing():
    found = depths(answers_1, adds)
    assert float(found["adding_error_depth_1"][0]) == pytest.approx(
        float(found["adding_error_do_nothing"][0]), rel=1e-5
    )
    assert float(found["adding_error_do_nothing"][0]) == pytest.approx(1 / 6, rel=0.3)
    assert float(found["adding_error_depth_2"][0]) < 1e-5
    assert float(found["adding_error_depth_3"][0]) < 1e-5
    assert float(found["adding_error_ridge"][0]) > 0.1
    assert found["adding_error_depth_2"].attrs["long_name"] == (
        "Error of 2 layers of 1 units, 30 weights"
    )


def test_a_stack_that_adds_needs_its_carry():
    found = adding.measure_cut({7: adds(2)}, TASKS)
    assert judge(14, found, depths(answers_1, adds)) == ("supported", ["holds", "holds"])
    # Without the carry the head sees the sum of what is marked in the last 10 steps.
    test = TASKS[7]["part"].values == 2
    last = (TASKS[7]["x"][test, -adding.CUT :, 0] * TASKS[7]["x"][test, -adding.CUT :, 1]).sum(
        "time"
    )
    expected = float(((last - TASKS[7]["y"][test]) ** 2).mean())
    assert float(found["adding_error_cut"][0]) == pytest.approx(expected, rel=1e-3)


def test_a_stack_without_memory_has_nothing_to_lose():
    found = adding.measure_cut({7: forgets()}, TASKS)
    assert float(found["error_cut_over_whole"][0]) == pytest.approx(1, abs=1e-5)
    assert judge(14, found, depths(adds, answers_1)) == ("refuted", ["fails", "fails"])


def test_a_cut_beyond_the_end_changes_nothing():
    found = adding.measure_cut({7: adds(2)}, TASKS, every=adding.STEPS)
    assert float(found["error_cut_over_whole"][0]) == pytest.approx(1, rel=1e-3)
