import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from experiments.depth.figures import plot_fading
from experiments.shared.figures import plot_seeds

TITLE = "What the figure shows"


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    yield
    assert plt.get_fignums() == []


@pytest.fixture
def evidence():
    return xr.Dataset(
        {
            "ours": ("model", [0.9, 0.1, 0.2, 0.4], {"long_name": "R² of the stack"}),
            "theirs": ("model", [0.5, 0.5, 0.5, 0.5], {"long_name": "R² of ridge"}),
        },
        coords={"model": ["trained", "seed 0", "seed 1", "seed 2"]},
    )


def drawn(axis):
    return [(line.get_marker(), line.get_color(), list(line.get_xdata())) for line in axis.lines]


def test_every_seed_is_shown_with_the_median(evidence):
    seeds = evidence.drop_sel(model="trained")
    figure = plot_seeds(seeds, title=TITLE, xlabel="R²", baselines=["theirs"])
    [axis] = figure.axes
    assert drawn(axis) == [
        ("o", "C0", [0.1, 0.2, 0.4]),
        ("|", "C0", [0.2]),
        ("o", "0.5", [0.5, 0.5, 0.5]),
        ("|", "0.5", [0.5]),
    ]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["R² of the stack", "R² of ridge"]
    assert axis.get_xlabel().startswith("R²\n")
    assert axis.get_title() == TITLE


def test_a_trained_stack_stands_apart_from_random_ones(evidence):
    axis = plot_seeds(evidence[["ours"]], title=TITLE, xlabel="R²", log=True).axes[0]
    assert drawn(axis) == [
        ("o", "C0", [0.1, 0.2, 0.4]),
        ("|", "C0", [0.2]),
        ("D", "C3", [0.9]),
    ]
    assert "red: trained" in axis.get_xlabel()
    assert axis.get_xscale() == "log"


def test_a_change_fades_layer_by_layer():
    curves = np.array([[[1, 0.5, 0.1, 0, 0], [0.5, 1, 0.3, 0.03, 0]]])
    one = xr.Dataset({"distance": (("model", "layer", "step"), curves)}, {"layer": [1, 2]})
    figure = plot_fading({"trained": one, "untrained": one}, title=TITLE)
    assert [axis.get_title() for axis in figure.axes] == ["trained", "untrained"]
    for axis in figure.axes:
        for line, curve in zip(axis.lines, curves[0], strict=False):
            np.testing.assert_array_equal(line.get_ydata(), curve)
        assert axis.lines[2].get_ydata() == pytest.approx([1 / np.e] * 2)
        assert axis.get_xlim() == (0, 4)  # the last step above 0.02, and one more
    [names] = figure.legends
    assert [text.get_text() for text in names.get_texts()] == ["layer 1", "layer 2"]
    assert figure.get_suptitle() == TITLE
