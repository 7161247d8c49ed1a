"""How long states last and how far back gradients reach, as drawn and in words."""

import numpy as np
import pytest
import xarray as xr

from experiments.memory.figures import (
    plot_errors,
    plot_recall,
    plot_slopes_by_part,
    plot_slopes_by_variant,
)
from experiments.memory.words import describe_errors, describe_recall, describe_slopes

SEEDS = ["seed 0", "seed 1", "seed 2"]
KEPT = xr.Dataset(
    {f"slope_kept_{name}": ("model", [low, 0.5], {"long_name": f"Gradient left, {name}"})
     for name, low in (("default", 1e-9), ("chrono", 0.02), ("trained", 0.5))}
)  # fmt: skip
LEFT = "Gradient left at the first step: 1e-9 to 0.5 by default, 0.02 to 0.5 chrono, 0.5 trained"


@pytest.fixture
def sweep():
    """Half-lives of 1 and 4 steps at two forget biases, over 8 steps."""
    lives = np.array([[1.0, 1.0, 1.0], [4.0, 3.0, 8.0]])[:, :, np.newaxis]
    change = 0.5 ** (np.arange(9) / lives[..., np.newaxis])
    of_layer = ("forget_bias", "model", "layer")
    return xr.Dataset(
        {
            "change": ((*of_layer, "step"), change),
            "half_life": (of_layer, lives),
            "predicted": (of_layer, 0.9 * lives),
        },
        coords={"forget_bias": [-1.0, 2.0], "model": SEEDS, "layer": [1]},
    )


def test_a_change_fades_at_each_bias(sweep):
    figure = plot_recall(sweep)
    fading, lives = figure.axes
    curves = [line for line in fading.lines if len(line.get_ydata()) == 9]
    assert [curve.get_label() for curve in curves] == ["−1", "2"]
    assert curves[0].get_ydata()[1] == pytest.approx(0.5)
    assert curves[1].get_ydata()[4] == pytest.approx(0.5)  # the median seed
    np.testing.assert_allclose(lives.lines[0].get_ydata(), [0.9, 3.6])
    measured = [line.get_ydata() for line in lives.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(np.transpose(measured), sweep["half_life"][..., 0])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["−1", "2"]
    assert "(steps)" in lives.get_ylabel()
    assert figure.get_suptitle() == "Half-life of c at forget bias −1 to 2: 1, 4 steps"


def test_half_lives_in_words(sweep):
    assert describe_recall(sweep) == "Half-life of c at forget bias −1 to 2: 1, 4 steps"
    long = sweep.assign(half_life=sweep["half_life"] * 8)
    assert describe_recall(long).endswith(": >8, >8 steps")


def test_slopes_are_relative_to_the_last_step():
    slope = np.array([[[2.0, 1.0], [4.0, 1.0], [8.0, 1.0]]])
    data = xr.Dataset(
        {"slope": (("variant", "model", "lag"), slope)},
        coords={"variant": ["gru"], "model": SEEDS, "lag": [0, 1]},
    )
    figure = plot_slopes_by_variant({"before": data}, KEPT)
    [axis] = figure.axes
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [1, 0.25])
    assert axis.lines[0].get_label() == "GRU"
    assert axis.get_yscale() == "log"
    assert axis.get_title() == "before"
    assert figure.get_suptitle() == LEFT
    by_part = plot_slopes_by_part(
        {"before": data.rename(variant="part")}, KEPT, "slope_kept_chrono"
    )
    assert [line.get_label() for line in by_part.axes[0].lines] == ["gru"]
    assert by_part.get_suptitle() == "Gradient left, chrono: 0.02 to 0.5"


@pytest.fixture
def errors():
    """One model learns 20 steps with every seed and was not trained on 50, the other fails."""
    error = [
        [[0.001, 0.002, 0.003], [np.nan] * 3],
        [[0.001, 0.002, 0.1], [0.2, 0.2, 0.2]],
        [[0.17, 0.16, 0.17], [0.17, 0.16, 0.17]],
    ]
    return xr.Dataset(
        {
            "error": (("predictor", "length", "model"), error),
            "whole": ("length", [True, False]),
        },
        coords={"predictor": ["gru", "rnn", "do_nothing"], "length": [20, 50], "model": SEEDS},
    )


def test_errors_by_length(errors):
    labels = {"gru": "GRU", "rnn": "SimpleRNN", "do_nothing": "always 1"}
    figure = plot_errors(errors, labels=labels, baselines=["do_nothing"])
    [axis] = figure.axes
    named = {line.get_label(): line for line in axis.lines if line.get_label() in labels.values()}
    np.testing.assert_allclose(named["GRU"].get_ydata(), [0.002])
    np.testing.assert_allclose(named["SimpleRNN"].get_ydata(), [0.002, 0.2])
    assert named["always 1"].get_linestyle() == ":"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["20", "50"]
    assert axis.get_title() == "Over 20 steps, all seeds learn with: GRU"


def test_who_learns_in_words(errors):
    labels = {"gru": "GRU", "rnn": "SimpleRNN", "do_nothing": "always 1"}
    told = describe_errors(errors, labels)
    assert told == "Over 20 steps, all seeds learn with: GRU"
    lost = errors.copy(deep=True)
    lost["error"][0, 0, 0] = np.nan  # a training that diverged has not learnt it
    assert describe_errors(lost, labels) == "Over 20 steps, all seeds learn with: none"
    none = errors.sel(predictor=["rnn", "do_nothing"]).assign(whole=("length", [True, True]))
    assert describe_errors(none, labels).endswith("Over 50 steps, all seeds learn with: none")


def test_what_is_left_of_a_gradient_in_words():
    assert describe_slopes(KEPT) == LEFT
