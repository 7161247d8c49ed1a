"""The drawing follows what flows: another stack, other arrows."""

import numpy as np

from experiments.how_states_flow.arrows import measure_arrows
from experiments.how_states_flow.words import describe_arrows
from experiments.shared.evidence import MOVED
from experiments.shared.models import build_stacked
from experiments.shared.stack import double_precision, randomise
from tests.experiments.shared import altered

X = np.random.default_rng(2).normal(size=(3, altered.STEPS, altered.FEATURES))
STOCK = {
    ("x(t)", "layer 1"), ("h1(t-1)", "layer 1"), ("c1(t-1)", "layer 1"), ("h1(t)", "layer 2"),
    ("h2(t-1)", "layer 2"), ("c2(t-1)", "layer 2"), ("h2(t)", "output"),
}  # fmt: skip
ASKED = STOCK | {
    ("x(t)", "layer 2"), ("c1(t)", "layer 2"), ("c2(t)", "output"),
    ("h2(t-1)", "layer 1"), ("c2(t-1)", "layer 1"),
}  # fmt: skip


def reached(model):
    """The arrows of a stack, the same at each step, and all that were asked for."""
    found = measure_arrows({"one": model}, X)["move"].isel(model=0)
    found = found.stack(arrow=["source", "target"]).dropna("arrow")
    first, *others = found.values > MOVED
    assert len(others) == 2
    assert all((other == first).all() for other in others)
    return set(found["arrow"].values[first]), set(found["arrow"].values)


def test_each_step_is_measured_after_those_before_it():
    other = X.copy()
    other[:, 6] = 0.5  # the second step
    usual, changed = (measure_arrows({"one": altered.stack()}, x)["move"] for x in (X, other))
    same = [
        np.array_equal(usual.isel(step=step), changed.isel(step=step), equal_nan=True)
        for step in range(3)
    ]
    assert same == [True, False, False]


def test_a_stock_stack():
    assert reached(altered.stack()) == (STOCK, ASKED)
    moves = measure_arrows({"one": altered.stack()}, X)
    assert describe_arrows(moves) == (
        "Layer 2 depends on h2(t-1), c2(t-1), h1(t); not on x(t), c1(t)"
    )


def test_to_try_under_a_third_layer_the_arrows_to_the_output_vanish():
    with double_precision():
        model = build_stacked(altered.STEPS, altered.FEATURES, units=[5, 4, 3])
    randomise(model, seed=0)
    to_output = {arrow for arrow in ASKED if arrow[1] == "output"}
    assert reached(model) == (STOCK - to_output, ASKED - to_output)


def test_a_layer_that_hands_up_both():
    model = altered.stack(lower=lambda n: altered.of_cells(altered.PassesBoth, n))
    assert reached(model)[0] == STOCK | {("c1(t)", "layer 2"), ("x(t)", "layer 2")}


def test_a_layer_that_gives_its_cell_state_to_the_head():
    model = altered.stack(upper=lambda n: altered.of_cells(altered.GivesCell, n))
    assert ("c2(t)", "output") in reached(model)[0]
