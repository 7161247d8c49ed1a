import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from lstm_states import figures
from lstm_states.schema import QUANTITIES

TITLE = "What the figure shows"


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    """An open figure would be shown twice in a notebook."""
    yield
    assert plt.get_fignums() == []


def xy(line):
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def legend(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def title_of(figure):
    return figure.get_suptitle() or figure.axes[0].get_title()


# Data and training


@pytest.fixture
def samples():
    """Twelve windows in clock time, scaled by a mean of 10 and a deviation of 2."""
    return xr.Dataset(
        {"y": ("sample", np.arange(12.0)), "part": ("sample", np.repeat([0, 1, 2], 4))},
        coords={
            "end": ("sample", np.datetime64("2024-01-01T12:00") + np.arange(12)),
        },
        attrs={"target": "height", "target_unit": "m", "target_mean": 10.0, "target_std": 2.0},
    )


def test_series_in_its_own_unit(samples):
    figure = figures.plot_series(samples, title=TITLE)
    [axis] = figure.axes
    [names] = figure.legends
    assert [text.get_text() for text in names.get_texts()] == ["train", "validation", "test"]
    for index, line in enumerate(axis.lines):
        part = samples.isel(sample=slice(4 * index, 4 * index + 4))
        np.testing.assert_array_equal(xy(line)[0], part["end"])
        np.testing.assert_array_equal(xy(line)[1], part["y"] * 2 + 10)
    assert title_of(figure) == TITLE
    assert axis.get_ylabel() == "height\n(m)"
    assert axis.get_xlabel().startswith("time of day (UTC)")


def test_of_a_target_per_step_the_last_one_is_shown(samples):
    per_step = samples.assign(
        y=(("sample", "time"), np.stack([np.zeros(12), np.arange(12)], axis=1))
    )
    line = figures.plot_series(per_step, title=TITLE).axes[0].lines[0]
    np.testing.assert_array_equal(xy(line)[1], [10, 12, 14, 16])


def test_a_long_series_is_smoothed_by_the_past(samples):
    y = np.repeat([0.0, 1.0, 0.0], [150, 150, 2])
    long = xr.Dataset(
        {"y": ("sample", y), "part": ("sample", np.repeat([0, 1, 2], [300, 1, 1]))},
        coords={"end": ("sample", np.arange(302))},
        attrs=samples.attrs,
    )
    axis = figures.plot_series(long, title=TITLE).axes[0]
    ends, mean = xy(axis.lines[0])
    np.testing.assert_array_equal(ends, np.arange(99, 300))
    np.testing.assert_allclose(mean, 10 + 2 * np.clip((ends - 149) / 100, 0, 1))
    assert axis.get_xlabel() == "time; mean over 100 windows"


def test_a_short_series_is_not_called_smoothed(samples):
    axis = figures.plot_series(samples, title=TITLE).axes[0]
    assert "mean" not in axis.get_xlabel()


def test_lengths_are_counted_by_part():
    samples = xr.Dataset({"length": ("sample", [3, 3, 5, 3]), "part": ("sample", [0, 2, 1, 0])})
    figure = figures.plot_lengths(samples, title=TITLE)
    [axis] = figure.axes
    bars = [(round(p.get_x() + p.get_width() / 2), p.get_height()) for p in axis.patches]
    assert sorted(bar for bar in bars if bar[1]) == [(3, 1), (3, 2), (5, 1)]
    assert legend(axis) == ["train", "validation", "test"]
    assert (title_of(figure), axis.get_xlabel(), axis.get_ylabel()) == (
        TITLE, "length (steps)", "sequences",
    )  # fmt: skip


def test_learning_curves_end_with_the_training_and_mark_the_kept_epoch():
    history = xr.Dataset(
        {
            "loss": (("seed", "epoch"), [[5.0, 4.0, 3.0], [6.0, 2.0, np.nan]]),
            "val_loss": (("seed", "epoch"), [[9.0, 7.0, 8.0], [1.0, 2.0, np.nan]]),
            "kept_epoch": ("seed", [2, 1]),
        },
        coords={"seed": [3, 8], "epoch": [1, 2, 3]},
    )
    figure = figures.plot_learning_curves(history, loss="mse", title=TITLE)
    drawn = [[[*map(list, xy(line))] for line in axis.lines] for axis in figure.axes]
    assert drawn == [
        [[[1, 2, 3], [5, 4, 3]], [[2], [4]], [[1, 2], [6, 2]], [[1], [6]]],
        [[[1, 2, 3], [9, 7, 8]], [[2], [7]], [[1, 2], [1, 2]], [[1], [1]]],
    ]
    assert legend(figure.axes[0]) == ["seed 3", "seed 8"]
    assert title_of(figure) == TITLE
    assert [axis.get_title() for axis in figure.axes] == ["training part", "validation part"]
    assert {axis.get_xlabel() for axis in figure.axes} == {"epoch"}
    assert figure.axes[0].get_ylabel() == "mse"


# Results


def results(score):
    score = np.asarray(score)
    values = {"score": score, "low": score - 0.125, "high": score + 0.25}
    return xr.Dataset(
        {name: ("predictor", value) for name, value in values.items()}
        | {"seed_score": ("seed", [0.5, 0.75])},
        coords={"predictor": ["model", "mean", "ridge"]},
        attrs={"metric": "r2"},
    )


def test_results_show_every_predictor_with_its_interval():
    figure = figures.plot_results(results([0.5, 0.25, 0.375]), title=TITLE)
    [axis] = figure.axes
    *rows, seeds = axis.lines
    for row, (score, interval, dot) in enumerate(
        zip([0.5, 0.25, 0.375], rows[::2], rows[1::2], strict=True)
    ):
        np.testing.assert_array_equal(xy(interval), [[score - 0.125, score + 0.25], [row, row]])
        np.testing.assert_array_equal(np.ravel(xy(dot)), [score, row])
    np.testing.assert_array_equal(xy(seeds)[0], [0.5, 0.75])
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["LSTM stack, median\n(ticks: seeds)", "mean", "ridge"]
    assert title_of(figure) == TITLE
    assert axis.get_xlabel() == "R² on the test part, with 95 % interval"


def test_a_score_far_off_is_named_at_the_edge():
    axis = figures.plot_results(results([0.5, -7.0, 0.375]), title=TITLE).axes[0]
    [far] = axis.texts
    assert far.get_text() == " ◂ -7.00"
    assert far.get_position() == (axis.get_xlim()[0], 1)
    assert 0 < axis.get_xlim()[0] < 0.25


def test_results_can_all_be_below_zero():
    axis = figures.plot_results(results([-0.5, -0.25, -0.375]), title=TITLE).axes[0]
    assert axis.get_xlim()[0] <= -0.5


def test_a_forecast_starts_with_the_test_part(samples):
    figure = figures.plot_forecast(samples, np.array([1.0, 2, 3, 4]), steps=3, title=TITLE)
    [axis] = figure.axes
    measured, predicted = axis.lines
    for line, values in ((measured, [26, 28, 30]), (predicted, [12, 14, 16])):
        np.testing.assert_array_equal(xy(line)[0], samples["end"][8:11])
        np.testing.assert_array_equal(xy(line)[1], values)
    assert legend(axis) == ["measured", "predicted"]
    assert title_of(figure) == TITLE
    assert axis.get_xlabel() == "time (start of the test part)"
    assert axis.get_ylabel() == "height\n(m)"


def test_by_step_shows_median_and_range():
    by_step = xr.Dataset(
        {"score": (("seed", "steps_seen"), [[0.5, 0.7], [0.6, 0.8], [0.9, 0.75]])},
        coords={"steps_seen": [1, 2]},
        attrs={"metric": "auc"},
    )
    figure = figures.plot_by_step(by_step, baseline=0.65, label="ridge", title=TITLE)
    [axis] = figure.axes
    median, baseline = axis.lines
    np.testing.assert_array_equal(xy(median), [[1, 2], [0.6, 0.75]])
    assert set(xy(baseline)[1]) == {0.65}
    band = axis.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band} >= {(1, 0.5), (1, 0.9), (2, 0.7), (2, 0.8)}
    assert legend(axis) == ["LSTM stack, median and range of seeds", "ridge, whole window"]
    assert title_of(figure) == TITLE
    assert axis.get_xlabel() == "steps seen since the states were zero"
    assert axis.get_ylabel() == "AUC, test part"


def test_confusion_counts_actual_by_predicted():
    figure = figures.plot_confusion(np.array([0, 0, 0, 2]), np.array([0, 1, 1, 2.0]), title=TITLE)
    axis, bar = figure.axes
    counts = axis.collections[0].get_array().reshape(3, 3)
    np.testing.assert_array_equal(counts.filled(0), [[1, 2, 0], [0, 0, 0], [0, 0, 1]])
    # Classes are counted from 1 where people read them.
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2", "3"]
    assert [text.get_text() for text in axis.texts if text.get_text()] == ["1", "2", "1"]
    assert (title_of(figure), axis.get_xlabel(), axis.get_ylabel(), bar.get_ylabel()) == (
        TITLE, "predicted class", "actual class", "sequences",
    )  # fmt: skip


# Traces


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
    figure = figures.plot_states(traces, sample=1, title=TITLE)
    grid = np.reshape([axis for axis in figure.axes if axis.images], (6, 2))
    for column, name in enumerate(["lstm", "lstm_1"]):
        one = traces[name].to_dataset().isel(sample=1)
        order = np.argsort(-np.nanmean(one["forget_gate"], axis=0))
        for row, quantity in enumerate(QUANTITIES):
            drawn = grid[row, column].images[0].get_array()
            np.testing.assert_array_equal(
                np.ma.filled(drawn, np.nan), one[quantity].values[:, order].T
            )
        assert grid[0, column].get_title() == f"{name}, {one.sizes['unit']} units"
        assert grid[-1, column].get_xlabel() == "timestep"
    labels = [axis.get_ylabel().replace("\n", " ") for axis in grid[:, 0]]
    assert labels == [
        "hidden state h", "cell state c",
        "input gate i", "forget gate f", "candidate g", "output gate o",
    ]  # fmt: skip
    assert title_of(figure) == TITLE


def test_gates_share_a_scale_and_states_are_centred(traces):
    figure = figures.plot_states(traces, sample=0, title=TITLE)
    limits = [axis.images[0].get_clim() for axis in figure.axes if axis.images][::2]
    for quantity, (low, high) in zip(QUANTITIES, limits, strict=True):
        if quantity.endswith("gate"):
            assert (low, high) == (0, 1)
        else:
            assert low == -high < 0


def test_gates_show_where_the_values_are(traces):
    for node in traces.leaves:
        node["cell"][:] = np.where(node["mask"].values[..., None], node["cell"], 1e3)
    figure = figures.plot_gates(traces, title=TITLE)
    assert [axis.get_title() for axis in figure.axes] == [
        "hidden state h", "cell state c", "input gate i",
        "forget gate f", "candidate g", "output gate o",
    ]  # fmt: skip
    for axis in figure.axes:
        assert len(axis.lines) == 2
        for line in axis.lines:
            middles, density = xy(line)
            assert density.sum() * np.diff(middles)[0] == pytest.approx(1)
            # What stands in the padding would be at 1000.
            assert 0.1 < middles[0] < middles[-1] < 0.9
    assert legend(figure.axes[0]) == ["lstm", "lstm_1"]
    assert title_of(figure) == TITLE
    assert {axis.get_xlabel() for axis in figure.axes} == {"value"}
    assert figure.axes[0].get_ylabel() == "density"


def test_norms_leave_the_padding_out(traces):
    figure = figures.plot_norms(traces, title=TITLE)
    hidden, cell = figure.axes
    for axis, quantity in ((hidden, "hidden"), (cell, "cell")):
        for line, name in zip(axis.lines, ["lstm", "lstm_1"], strict=True):
            values = traces[name][quantity].values.copy()
            values[1, 3:] = np.nan
            norm = np.sqrt((values**2).mean(-1))
            np.testing.assert_allclose(xy(line)[1], np.nanmedian(norm, axis=0))
    assert [axis.get_title() for axis in figure.axes] == ["hidden state h", "cell state c"]
    assert hidden.get_ylabel() == "root mean square over units"
    assert hidden.get_xlabel() == "timestep"
    assert legend(hidden) == ["lstm", "lstm_1"]
    assert title_of(figure) == TITLE


def test_padding_is_shaded_behind_the_largest_units(traces):
    figure = figures.plot_padding(traces, sample=1, units=2, title=TITLE)
    for axis, name in zip(figure.axes, ["lstm", "lstm_1"], strict=True):
        cell = traces[name]["cell"].values[1]
        largest = np.argsort(-np.abs(cell).max(0))[:2]
        np.testing.assert_array_equal([xy(line)[1] for line in axis.lines], cell[:, largest].T)
        assert [(p.get_x(), p.get_width()) for p in axis.patches] == [(3, 1), (4, 1)]
        assert axis.get_title() == f"{name}, 2 of {cell.shape[1]} units"
        assert axis.get_xlabel() == "timestep"
    assert figure.axes[0].get_ylabel() == "cell state c"
    assert title_of(figure) == TITLE


# Trials


@pytest.fixture
def evidence():
    """Two measures on trained weights and two random ones."""
    about = {"long_name": "Difference of one from the other", "units": "1"}
    return xr.Dataset(
        {"gap": ("model", [0.0, 1e-16, 2e-16], about), "move": ("model", [0.5, 0.1, 2.0], about)},
        coords={"model": ["trained", "seed 0", "seed 1"]},
    )


def test_evidence_is_plotted_for_every_model_and_zero_is_shown(evidence):
    figure = figures.plot_evidence(evidence, title=TITLE)
    [axis] = figure.axes
    assert [line.get_label() for line in axis.lines][:3] == ["trained", "seed 0", "seed 1"]
    for line, column in zip(axis.lines, range(3), strict=True):
        expected = [max(float(evidence[name][column]), figures.FLOOR) for name in evidence]
        np.testing.assert_array_equal(xy(line)[0], expected)
    assert axis.get_xscale() == "log"
    assert axis.get_xticklabels()[0].get_text() == "0"
    assert [t.get_text() for t in axis.get_yticklabels()] == [
        "Difference of one from the other"
    ] * 2
    assert "2 random ones" in axis.get_xlabel()
    assert title_of(figure) == TITLE


def test_an_arrow_is_drawn_only_where_every_model_moved():
    moves = xr.DataArray(
        [[[0.5, 0.0], [np.nan, 0.2]], [[0.3, 1e-16], [np.nan, 0.0]]],
        dims=("model", "source", "target"),
        coords={"source": ["x(t)", "h1(t)"], "target": ["layer 1", "layer 2"]},
    )
    figure = figures.plot_arrows(xr.Dataset({"move": moves}), title=TITLE)
    arrows = [t for t in figure.axes[0].texts if getattr(t, "arrow_patch", None)]
    drawn = [arrow.arrow_patch.get_linestyle() == "-" for arrow in arrows]
    assert drawn == [True, False, False]  # x(t) to layer 1; x(t) and, in one model only, h1(t)
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels.count("0") == 2
    assert "0.5" in labels
    assert title_of(figure) == TITLE


def test_values_stand_against_the_limits_of_the_rule():
    about = {"says": "What moved", "when": "a mask", "fails": "<= 1e-9"}
    tests = [
        {**about, "holds": "> 1e-3", "values": {"trained": 0.0, "seed 0": 0.5}},
        {**about, "holds": ">= 0.9", "fails": None, "values": {"seed 0": 0.8, "seed 1": -2.0}},
    ]
    figure = figures.plot_rule(tests, title=TITLE)
    small, large = figure.axes
    assert small.get_xscale() == "log"
    np.testing.assert_array_equal(xy(small.lines[0])[0], [figures.FLOOR, 0.5])
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
