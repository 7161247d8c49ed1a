from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from experiments.depth.figures import plot_by_layer, plot_fading
from experiments.shared.figures import plot_seeds, show_seeds

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


def test_seeds_are_kept_and_shown_with_their_finding(evidence):
    kept = []
    run = SimpleNamespace(keep_evidence=lambda *given: (kept.append(given), given[-1])[1])
    figure = show_seeds(run, "r2", evidence, "theirs", xlabel="R²", log=True, without=["theirs"])
    [axis] = figure.axes
    assert axis.get_title() == "R² of ridge: 0.5"
    assert [t.get_text() for t in axis.get_yticklabels()] == ["R² of the stack"]
    assert axis.get_xscale() == "log"
    assert kept == [("r2", evidence, figure)]


def test_layers_are_shown_with_their_finding(evidence):
    names = {"ours": "share_layer_1", "theirs": "share_layer_2"}
    layers = evidence.rename(names).assign(gain=evidence["ours"])
    [axis] = plot_by_layer(layers, "share", what="Share", xlabel="share", without=["gain"]).axes
    assert axis.get_title() == "Share: 0.1 to 0.9 in layer 1, 0.5 in layer 2"
    assert len(axis.get_yticklabels()) == 2


def test_a_change_fades_layer_by_layer():
    curves = np.array([[[1, 0.5, 0.1, 0, 0], [0.5, 1, 0.3, 0.03, 0]]])
    one = xr.Dataset({"distance": (("model", "layer", "step"), curves)}, {"layer": [1, 2]})
    about = ("model", [2.0, 3.0])
    scales = xr.Dataset(
        {"time_scale_layer_1": about, "time_scale_layer_2": about},
        coords={"model": ["trained", "seed 0"]},
    )
    figure = plot_fading({"trained": one, "untrained": one}, scales, "time_scale")
    assert [axis.get_title() for axis in figure.axes] == ["trained", "untrained"]
    for axis in figure.axes:
        for line, curve in zip(axis.lines, curves[0], strict=False):
            np.testing.assert_array_equal(line.get_ydata(), curve)
        assert axis.lines[2].get_ydata() == pytest.approx([1 / np.e] * 2)
        assert axis.get_xlim() == (0, 4)  # the last step above 0.02, and one more
    [names] = figure.legends
    assert [text.get_text() for text in names.get_texts()] == ["layer 1", "layer 2"]
    said = "Time scale once trained, in steps: 2 in layer 1, 2 in layer 2"
    assert figure.get_suptitle() == said
