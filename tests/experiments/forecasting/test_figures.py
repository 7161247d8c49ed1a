"""Figures of data, training and results."""

import numpy as np
import pytest
import xarray as xr

from experiments.data.schema import PARTS
from experiments.forecasting.figures import (
    plot_by_step,
    plot_confusion,
    plot_forecast,
    plot_learning_curves,
    plot_lengths,
    plot_results,
    plot_series,
)
from experiments.shared.scores import METRICS
from tests.drawn import legend, no_figure_stays_open, title_of, xy  # noqa: F401


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
    figure = plot_series(samples)
    [axis] = figure.axes
    [names] = figure.legends
    assert [text.get_text() for text in names.get_texts()] == list(PARTS)
    for index, line in enumerate(axis.lines):
        part = samples.isel(sample=slice(4 * index, 4 * index + 4))
        np.testing.assert_array_equal(xy(line)[0], part["end"])
        np.testing.assert_array_equal(xy(line)[1], part["y"] * 2 + 10)
    assert (
        title_of(figure) == "Mean of the target: 13.00 in the training part, 29.00 in the test part"
    )
    assert axis.get_ylabel() == "height\n(m)"
    assert "UTC" in axis.get_xlabel()


def test_of_a_target_per_step_the_last_one_is_shown(samples):
    per_step = samples.assign(
        y=(("sample", "time"), np.stack([np.zeros(12), np.arange(12)], axis=1))
    )
    line = plot_series(per_step).axes[0].lines[0]
    np.testing.assert_array_equal(xy(line)[1], [10, 12, 14, 16])


def test_a_long_series_is_smoothed_by_the_past(samples):
    y = np.repeat([0.0, 1.0, 0.0], [150, 150, 2])
    long = xr.Dataset(
        {"y": ("sample", y), "part": ("sample", np.repeat([0, 1, 2], [300, 1, 1]))},
        coords={"end": ("sample", np.arange(302))},
        attrs=samples.attrs,
    )
    axis = plot_series(long).axes[0]
    ends, mean = xy(axis.lines[0])
    np.testing.assert_array_equal(ends, np.arange(99, 300))
    np.testing.assert_allclose(mean, 10 + 2 * np.clip((ends - 149) / 100, 0, 1))
    assert "mean over 100 " in axis.get_xlabel()


def test_a_short_series_is_not_called_smoothed(samples):
    axis = plot_series(samples).axes[0]
    assert "mean" not in axis.get_xlabel()


def test_lengths_are_counted_by_part():
    samples = xr.Dataset(
        {"length": ("sample", [3, 3, 5, 1]), "part": ("sample", [0, 2, 1, 0]),
         "x": (("sample", "time"), np.zeros((4, 5)))}
    )  # fmt: skip
    figure = plot_lengths(samples)
    [axis] = figure.axes
    bars = [(round(p.get_x() + p.get_width() / 2), p.get_height()) for p in axis.patches]
    assert sorted(bar for bar in bars if bar[1]) == [(1, 1), (3, 1), (3, 1), (5, 1)]
    assert legend(axis) == list(PARTS)
    assert title_of(figure) == "40% of the padded steps are padding"


def test_learning_curves_end_with_the_training_and_mark_the_kept_epoch():
    history = xr.Dataset(
        {
            "loss": (("seed", "epoch"), [[5.0, 4.0, 3.0], [6.0, 2.0, np.nan]]),
            "val_loss": (("seed", "epoch"), [[9.0, 7.0, 8.0], [1.0, 2.0, np.nan]]),
            "kept_epoch": ("seed", [2, 1]),
        },
        coords={"seed": [3, 8], "epoch": [1, 2, 3]},
    )
    figure = plot_learning_curves(history, loss="mse")
    drawn = [[[*map(list, xy(line))] for line in axis.lines] for axis in figure.axes]
    assert drawn == [
        [[[1, 2, 3], [5, 4, 3]], [[2], [4]], [[1, 2], [6, 2]], [[1], [6]]],
        [[[1, 2, 3], [9, 7, 8]], [[2], [7]], [[1, 2], [1, 2]], [[1], [1]]],
    ]
    assert legend(figure.axes[0]) == ["seed 3", "seed 8"]
    assert title_of(figure) == "Kept weights are from epochs 1 to 2; validation loss 1.000 to 7.000"
    panels = [axis.get_title().split()[0] for axis in figure.axes]
    assert panels == ["training", "validation"]
    assert figure.axes[0].get_ylabel() == "mse"


# Results


def results(score):
    score = np.asarray(score)
    values = {"score": score, "low": score - 0.125, "high": score + 0.25}
    gain = score[0] - score
    values |= {"gain": gain, "gain_low": gain - 0.25, "gain_high": gain + 0.25}
    return xr.Dataset(
        {name: ("predictor", value) for name, value in values.items()}
        | {"seed_score": ("seed", [0.5, 0.75])},
        coords={"predictor": ["model", "mean", "ridge"]},
        attrs={"metric": "r2"},
    )


def test_results_show_every_predictor_with_its_interval():
    figure = plot_results(results([0.5, 0.25, 0.375]))
    [axis] = figure.axes
    *rows, seeds = axis.lines
    for row, (score, interval, dot) in enumerate(
        zip([0.5, 0.25, 0.375], rows[::2], rows[1::2], strict=True)
    ):
        np.testing.assert_array_equal(xy(interval), [[score - 0.125, score + 0.25], [row, row]])
        np.testing.assert_array_equal(np.ravel(xy(dot)), [score, row])
    np.testing.assert_array_equal(xy(seeds)[0], [0.5, 0.75])
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels[1:] == ["mean", "ridge"]
    assert title_of(figure) == (
        "The LSTM stack does not differ clearly from ridge: +0.125 (95 % CI −0.125 to +0.375)"
    )
    assert axis.get_xlabel().startswith(METRICS["r2"])


def test_a_score_far_off_is_named_at_the_edge():
    axis = plot_results(results([0.5, -7.0, 0.375])).axes[0]
    [far] = axis.texts
    assert far.get_text() == " ◂ -7.00"
    assert far.get_position() == (axis.get_xlim()[0], 1)
    assert 0 < axis.get_xlim()[0] < 0.25


def test_results_can_all_be_below_zero():
    axis = plot_results(results([-0.5, -0.25, -0.375])).axes[0]
    assert axis.get_xlim()[0] <= -0.5


def test_a_forecast_starts_with_the_test_part(samples):
    figure = plot_forecast(samples, np.array([1.0, 2, 3, 4]), steps=3)
    [axis] = figure.axes
    measured, predicted = axis.lines
    for line, values in ((measured, [26, 28, 30]), (predicted, [12, 14, 16])):
        np.testing.assert_array_equal(xy(line)[0], samples["end"][8:11])
        np.testing.assert_array_equal(xy(line)[1], values)
    assert legend(axis) == ["measured", "predicted"]
    assert title_of(figure) == "Forecast and measurement at the start of the test part"
    assert axis.get_ylabel() == "height\n(m)"


def test_by_step_shows_median_and_range():
    by_step = xr.Dataset(
        {"score": (("seed", "steps_seen"), [[0.5, 0.7], [0.6, 0.8], [0.9, 0.75]])},
        coords={"steps_seen": [1, 2]},
        attrs={"metric": "auc"},
    )
    figure = plot_by_step(by_step, baseline=0.65, label="ridge")
    [axis] = figure.axes
    median, baseline = axis.lines
    np.testing.assert_array_equal(xy(median), [[1, 2], [0.6, 0.75]])
    assert set(xy(baseline)[1]) == {0.65}
    band = axis.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in band} >= {(1, 0.5), (1, 0.9), (2, 0.7), (2, 0.8)}
    assert legend(axis)[1].startswith("ridge")
    assert title_of(figure) == "AUC by the number of steps seen: 0.600 after 1, 0.750 after 2"
    assert axis.get_ylabel().startswith(METRICS["auc"])


def test_confusion_counts_actual_by_predicted():
    figure = plot_confusion(np.array([0, 0, 0, 2]), np.array([0, 1, 1, 2.0]))
    axis, _ = figure.axes
    counts = axis.collections[0].get_array().reshape(3, 3)
    np.testing.assert_array_equal(counts.filled(0), [[1, 2, 0], [0, 0, 0], [0, 0, 1]])
    # Classes are counted from 1 where people read them.
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2", "3"]
    assert [text.get_text() for text in axis.texts if text.get_text()] == ["1", "2", "1"]
    assert axis.get_xlabel().startswith("predicted")
    assert title_of(figure) == "Which class was taken for which"
