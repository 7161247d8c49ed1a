"""Figures of evidence, of what moves what, and of a claim's rule."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from experiments.claims.figure import plot_rule
from experiments.how_states_flow.figures import plot_arrows
from experiments.shared import figures
from experiments.shared.figures import plot_evidence, show_evidence
from lstm_states.plots.style import FLOOR
from tests.drawn import TITLE, no_figure_stays_open, title_of, xy  # noqa: F401


@pytest.fixture
def evidence():
    """Two measures on trained weights and two random ones."""
    about = {"long_name": "Difference of one from the other", "units": "1"}
    return xr.Dataset(
        {"gap": ("model", [0.0, 1e-16, 2e-16], about), "move": ("model", [0.5, 0.1, 2.0], about)},
        coords={"model": ["trained", "seed 0", "seed 1"]},
    )


def test_evidence_is_plotted_for_every_model_and_zero_is_shown(evidence):
    figure = plot_evidence(evidence, title=TITLE)
    [axis] = figure.axes
    assert [line.get_label() for line in axis.lines][:3] == ["trained", "seed 0", "seed 1"]
    for line, column in zip(axis.lines, range(3), strict=True):
        expected = [max(float(evidence[name][column]), FLOOR) for name in evidence]
        np.testing.assert_array_equal(xy(line)[0], expected)
    assert axis.get_xscale() == "log"
    assert axis.get_xticklabels()[0].get_text() == "0"
    assert [t.get_text() for t in axis.get_yticklabels()] == [
        "Difference of one from the other"
    ] * 2
    assert "2 random ones" in axis.get_xlabel()
    assert title_of(figure) == TITLE


def test_evidence_is_kept_and_shown_as_a_figure_with_its_finding_or_as_a_table(
    evidence, monkeypatch
):
    kept, displayed = [], []
    monkeypatch.setattr(figures, "display", displayed.append)
    run = SimpleNamespace(keep_evidence=lambda *given: (kept.append(given), given[-1])[1])
    figure = show_evidence(run, "moves", evidence, "move")
    assert title_of(figure) == "Difference of one from the other: 0.1 to 2"
    table = show_evidence(run, "moves", evidence)
    assert [row["value"] for row in table.data.to_dict("records")] == ["0 to 2e-16", "0.1 to 2"]
    assert kept == [("moves", evidence, figure), ("moves", evidence)]
    assert displayed == []
    beside = show_evidence(run, "moves", evidence, here={"gap": 0.0})
    assert [row["in this cell"] for row in beside.data.to_dict("records")] == ["0", ""]
    assert title_of(show_evidence(run, "moves", evidence, "move", here={"gap": 0.0})).endswith("2")
    [above] = displayed
    assert [row["on all stacks"] for row in above.data.to_dict("records")] == ["0 to 2e-16"]
    with pytest.raises(KeyError, match="gate"):
        show_evidence(run, "moves", evidence, here={"gate": 0.0})


def test_an_arrow_is_drawn_only_where_every_model_moved():
    one = [[[0.5, 0.0], [np.nan, 0.2]], [[0.25, 0.0], [np.nan, 0.125]]]
    other = [[[0.3, 1e-16], [np.nan, 0.0]], [[0.2, 0.0], [np.nan, 0.1]]]
    moves = xr.DataArray(
        [one, other],
        dims=("model", "step", "source", "target"),
        coords={"step": [0, 1], "source": ["x(t)", "h1(t)"], "target": ["layer 1", "layer 2"]},
    )
    figure = plot_arrows(xr.Dataset({"move": moves}))
    arrows = [t for t in figure.axes[0].texts if getattr(t, "arrow_patch", None)]
    drawn = [arrow.arrow_patch.get_linestyle() == "-" for arrow in arrows]
    # By step x(t) to layer 1, x(t) to layer 2, and h1(t), which moved it at the second step alone.
    assert drawn == [True, True, False, False, False, True]
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels.count("0") == 3
    assert {"0.5", "0.2", "0.1"} <= set(labels)  # the largest moves; 0.25 and 0.125 are rounded
    assert [labels.count(name) for name in ("h1(t−1)", "h1(t)", "h1(t+1)")] == [1, 1, 1]
    assert "x(t−1)" not in labels
    renamed = moves.assign_coords(source=["x(t)", "h1(t-1)"])
    texts = plot_arrows(xr.Dataset({"move": renamed})).axes[0].texts
    carried = [t for t in texts if getattr(t, "arrow_patch", None)][4:]
    assert [t.xyann[0] < t.xy[0] for t in carried] == [True, True]  # from the step before
    assert title_of(figure) == "Layer 2 depends on h1(t); not on x(t)"


def test_values_stand_against_the_limits_of_the_rule():
    about = {"says": "What moved", "when": "a mask", "fails": "<= 1e-9"}
    tests = [
        {**about, "holds": "> 1e-3", "values": {"trained": 0.0, "seed 0": 0.5}},
        {**about, "holds": ">= 0.9", "fails": None, "values": {"seed 0": 0.8, "seed 1": -2.0}},
    ]
    figure = plot_rule(tests, title=TITLE)
    small, large = figure.axes
    assert small.get_xscale() == "log"
    np.testing.assert_array_equal(xy(small.lines[0])[0], [FLOOR, 0.5])
    assert small.get_yticklabels()[0].get_text() == "a mask\nWhat moved"
    holds, fails = (patch.get_extents().transformed(small.transData.inverted()) for patch in
                    small.patches)  # fmt: skip
    assert holds.x0 == pytest.approx(1e-3)
    assert fails.x1 == pytest.approx(1e-9)
    assert large.get_xscale() == "linear"
    np.testing.assert_array_equal(xy(large.lines[0])[0], [0.8, -2.0])
    holds, fails = (patch.get_extents().transformed(large.transData.inverted()) for patch in
                    large.patches)  # fmt: skip
    assert (holds.x0, fails.x1) == pytest.approx((0.9, 0.9))  # without it, the opposite fails
    assert title_of(figure) == TITLE
