"""The drawing follows what flows: another stack, other arrows."""

import numpy as np

from experiments.how_states_flow.arrows import measure_arrows
from experiments.how_states_flow.words import describe_arrows
from experiments.shared.evidence import MOVED
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
    """The arrows of a stack, and all that were asked for."""
    found = (
        measure_arrows({"one": model}, X)["move"].isel(model=0).stack(arrow=["source", "target"])
    )
    found = found.dropna("arrow")
    return set(found["arrow"].values[found.values > MOVED]), set(found["arrow"].values)


def test_a_stock_stack():
    assert reached(altered.stack()) == (STOCK, ASKED)
    moves = measure_arrows({"one": altered.stack()}, X)
    assert describe_arrows(moves) == (
        "Layer 2 depends on h2(t-1), c2(t-1), h1(t); not on x(t), c1(t)"
    )


def test_a_layer_that_hands_up_both():
    model = altered.stack(lower=lambda n: altered.of_cells(altered.PassesBoth, n))
    assert reached(model)[0] == STOCK | {("c1(t)", "layer 2"), ("x(t)", "layer 2")}


def test_a_layer_that_gives_its_cell_state_to_the_head():
    model = altered.stack(upper=lambda n: altered.of_cells(altered.GivesCell, n))
    assert ("c2(t)", "output") in reached(model)[0]
