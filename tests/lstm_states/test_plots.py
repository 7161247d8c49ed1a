"""Figures of traces."""

import numpy as np
import pytest
import xarray as xr

from lstm_states.cells import QUANTITIES
from lstm_states.plots.states import _TITLES, plot_gates, plot_norms, plot_padding, plot_states
from tests.drawn import TITLE, legend, no_figure_stays_open, title_of, xy  # noqa: F401


@pytest.fixture
def traces(rng):
    """Two layers over 3 samples of 5 steps; the last 2 steps of sample 1 are padding."""
    mask = np.ones((3, 5), bool)
    mask[1, 3:] = False
    dims = ("sample", "time", "unit")

    def layer(units):
        values = {q: rng.uniform(0.1, 0.9, (3, 5, units)) for q in QUANTITIES}
        for name in QUANTITIES[2:]:
            values[name][~mask] = np.nan
        return xr.Dataset({q: (dims, v) for q, v in values.items()} | {"mask": (dims[:2], mask)})

    return xr.DataTree.from_dict({"/lstm": layer(4), "/lstm_1": layer(3)})


def test_states_are_sorted_by_memory(traces):
    figure = plot_states(traces, sample=1, title=TITLE)
    grid = np.reshape([axis for axis in figure.axes if axis.images], (6, 2))
    for column, name in enumerate(["lstm", "lstm_1"]):
        one = traces[name].to_dataset().isel(sample=1)
        order = np.argsort(-np.nanmean(one["forget_gate"], axis=0))
        for row, quantity in enumerate(QUANTITIES):
            drawn = grid[row, column].images[0].get_array()
            np.testing.assert_array_equal(
                np.ma.filled(drawn, np.nan), one[quantity].values[:, order].T
            )
        assert grid[0, column].get_title().startswith(f"{name}, {one.sizes['unit']} ")
    labels = [axis.get_ylabel().replace("\n", " ") for axis in grid[:, 0]]
    assert labels == [_TITLES[quantity] for quantity in QUANTITIES]
    assert title_of(figure) == TITLE


def test_gates_share_a_scale_and_states_are_centred(traces):
    figure = plot_states(traces, sample=0, title=TITLE)
    limits = [axis.images[0].get_clim() for axis in figure.axes if axis.images][::2]
    for quantity, (low, high) in zip(QUANTITIES, limits, strict=True):
        if quantity.endswith("gate"):
            assert (low, high) == (0, 1)
        else:
            assert low == -high < 0


def test_gates_show_where_the_values_are(traces):
    for node in traces.leaves:
        node["cell"][:] = np.where(node["mask"].values[..., None], node["cell"], 1e3)
    figure = plot_gates(traces, title=TITLE)
    assert [axis.get_title() for axis in figure.axes] == [_TITLES[name] for name in QUANTITIES]
    for axis in figure.axes:
        assert len(axis.lines) == 2
        for line in axis.lines:
            middles, density = xy(line)
            assert density.sum() * np.diff(middles)[0] == pytest.approx(1)
            # What stands in the padding would be at 1000.
            assert 0.1 < middles[0] < middles[-1] < 0.9
    assert legend(figure.axes[0]) == ["lstm", "lstm_1"]
    assert title_of(figure) == TITLE


def test_norms_leave_the_padding_out(traces):
    figure = plot_norms(traces, title=TITLE)
    hidden, cell = figure.axes
    for axis, quantity in ((hidden, "hidden"), (cell, "cell")):
        for line, name in zip(axis.lines, ["lstm", "lstm_1"], strict=True):
            values = traces[name][quantity].values.copy()
            values[1, 3:] = np.nan
            norm = np.sqrt((values**2).mean(-1))
            np.testing.assert_allclose(xy(line)[1], np.nanmedian(norm, axis=0))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [_TITLES["hidden"], _TITLES["cell"]]
    assert legend(hidden) == ["lstm", "lstm_1"]
    assert title_of(figure) == TITLE


def test_padding_is_shaded_behind_the_largest_units(traces):
    figure = plot_padding(traces, sample=1, units=2, title=TITLE)
    for axis, name in zip(figure.axes, ["lstm", "lstm_1"], strict=True):
        cell = traces[name]["cell"].values[1]
        largest = np.argsort(-np.abs(cell).max(0))[:2]
        np.testing.assert_array_equal([xy(line)[1] for line in axis.lines], cell[:, largest].T)
        assert [(p.get_x(), p.get_width()) for p in axis.patches] == [(3, 1), (4, 1)]
        assert axis.get_title().startswith(f"{name}, 2 of {cell.shape[1]} ")
    assert title_of(figure) == TITLE
