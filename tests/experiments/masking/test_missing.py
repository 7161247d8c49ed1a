"""What is taken out, what stands for it, and the verdict on zeros."""

import numpy as np
import pytest
import xarray as xr

from experiments.masking import contest, encodings, missing
from tests.experiments.shared.judge import verdict

NAN = np.nan  # whatever isn't observed must not be looked at
X = np.array([[[NAN, 1.0], [2.0, NAN], [NAN, NAN], [4.0, NAN]]])
OBSERVED = ~np.isnan(X)


def encoded(encoding):
    """Values, indicators and elapsed times, each by feature over the steps."""
    columns = encoding(X, OBSERVED)[0].T
    assert columns.dtype == np.float32
    return [columns[:2].tolist(), columns[2:4].tolist(), columns[4:]]


INDICATORS = [[1, 0, 1, 0], [0, 1, 1, 1]]
NOTHING = [[0] * 4] * 2


@pytest.mark.parametrize(
    ("encoding", "values", "indicators"),
    [
        (encodings.zero, [[0, 2, 0, 4], [1, 0, 0, 0]], NOTHING),
        (encodings.sentinel, [[-6, 2, -6, 4], [1, -6, -6, -6]], NOTHING),
        (encodings.last_value, [[0, 2, 2, 4], [1, 1, 1, 1]], NOTHING),
        (encodings.zero_indicator, [[0, 2, 0, 4], [1, 0, 0, 0]], INDICATORS),
        (encodings.last_value_indicator_elapsed, [[0, 2, 2, 4], [1, 1, 1, 1]], INDICATORS),
    ],
)
def test_encodings_of_a_known_window(encoding, values, indicators):
    found = encoded(encoding)
    assert found[:2] == [values, indicators]
    timed = encoding is encodings.last_value_indicator_elapsed
    steps = [[1, 0, 1, 0], [0, 1, 2, 3]] if timed else NOTHING
    np.testing.assert_allclose(found[2], np.log1p(steps), rtol=1e-6)


def test_only_steps_of_which_nothing_is_there_are_masked():
    columns = encodings.masked(X, OBSERVED)[0]
    assert (columns == encodings.MASK_VALUE).all(axis=1).tolist() == [False, False, True, False]
    kept = [0, 1, 3]
    np.testing.assert_array_equal(columns[kept], encodings.zero(X, OBSERVED)[0, kept])


def test_all_encodings_have_one_width_and_are_of_the_same_windows():
    made = encodings.encode(X, OBSERVED, encodings.FOR_STEPS)
    assert {name: x.shape for name, x in made.items()} == dict.fromkeys(made, (1, 4, 6))
    assert next(iter(made)) == "0"
    with pytest.raises(ValueError, match=r"x has shape \(1, 4, 2\), observed \(1, 2, 4\)"):
        encodings.encode(X, OBSERVED.reshape(1, 2, 4), encodings.FOR_NUMBERS)


def test_so_many_numbers_are_missing_each_by_itself():
    there = missing.observed_numbers((400, 20, 5), missing=0.3)
    assert np.mean(~there) == pytest.approx(0.3, abs=0.01)
    after = np.mean(~there[:, 1:][~there[:, :-1]])  # a number is gone whether or not the last was
    assert after == pytest.approx(0.3, abs=0.01)
    np.testing.assert_array_equal(there, missing.observed_numbers((400, 20, 5), missing=0.3))


def test_so_many_steps_are_missing_in_gaps_of_that_length():
    there = missing.observed_steps((4000, 20, 3), missing=0.3, gap=5)
    assert (there == there[..., :1]).all()
    gone = ~there[..., 0]
    assert gone.mean(axis=0) == pytest.approx(0.3, abs=0.03)  # at each step of a window
    ends = np.mean(~gone[:, 1:][gone[:, :-1]])
    assert 1 / ends == pytest.approx(5, abs=0.3)
    np.testing.assert_array_equal(there, missing.observed_steps((4000, 20, 3), missing=0.3, gap=5))


def test_blocks_share_no_row():
    rows, window, ahead = 600, 8, 3
    ends = np.arange(window - 1, rows - ahead)
    samples = xr.Dataset(
        {
            "x": (("sample", "time", "feature"), (ends[:, None, None] + np.zeros((1, window, 2)))),
            "y": ("sample", ends),
            "part": ("sample", np.zeros(len(ends), int)),
        }
    )
    found = missing.in_blocks(samples, ahead=ahead, stride=2)
    last = found["y"].values
    touched = [
        {row for end in last[found["part"].values == part] for row in range(end - 7, end + 4)}
        for part in range(3)
    ]
    assert not touched[0] & touched[1] | touched[0] & touched[2] | touched[1] & touched[2]
    sizes = np.bincount(found["part"].values)
    np.testing.assert_allclose(sizes / sizes.sum(), [0.6, 0.2, 0.2], atol=0.02)
    assert set(np.diff(last)) == {
        2,
        2 + window + ahead - 1,
    }  # the border costs what reaches over it


# The contest


def errors(**test):
    """Errors of three seeds by encoding; those on the validation part are the same."""
    values = (("encoding", "seed"), [np.multiply(row, [1.0, 1.1, 0.9]) for row in test.values()])
    names = [name.replace("zero", "0") for name in test]
    coords = {"encoding": names, "seed": [0, 1, 2]}
    return xr.Dataset({"validation": values, "test": values}, coords=coords)


def claim_25(numbers, steps):
    return verdict(
        25,
        contest.measure_zero_over_best(numbers, missing="numbers"),
        contest.measure_zero_over_best(steps, missing="steps"),
    )


def test_zeros_can_win_lose_and_do_both():
    wins, loses = errors(zero=1.0, last=1.3), errors(zero=1.3, last=1.0)
    near = errors(zero=1.03, last=1.0)
    assert claim_25(wins, wins) == "supported"
    assert claim_25(loses, loses) == "refuted"
    assert claim_25(wins, loses) == "depends"
    assert claim_25(near, wins) == "undecided"
    found = contest.measure_zero_over_best(loses, missing="steps")["error_zero_over_best_steps"]
    np.testing.assert_allclose(found.values, 1.3)
    assert found.attrs["long_name"] == "Test error with 0 over that with last"
    assert found["model"].values.tolist() == ["seed 0", "seed 1", "seed 2"]


def test_the_test_part_has_no_say_in_what_is_best():
    found = errors(zero=1.0, lucky=0.5, last=0.9)
    found["validation"] = found["validation"].copy()
    found["validation"].loc[{"encoding": "lucky"}] = 2.0
    assert contest.best_encoding(found) == "last"


@pytest.fixture(scope="module")
def windows():
    """The target is the mean of a window's one feature."""
    x = np.random.default_rng(0).normal(size=(240, 6, 1)).astype(np.float32)
    return xr.Dataset(
        {
            "x": (("sample", "time", "feature"), x),
            "y": ("sample", 2 * x.mean(axis=(1, 2))),
            "part": ("sample", np.repeat([0, 1, 2], [160, 40, 40])),
        }
    )


@pytest.fixture(scope="module")
def found(windows):
    """The contest of three inputs, one of which tells nothing, and once more with two of them."""
    x = windows["x"].values
    there = np.ones(x.shape, bool)
    inputs = {
        "0": encodings.zero(x, ~there),
        "all": encodings.zero(x, there),
        "masked": encodings.masked(x, ~there),
    }
    how = {"seeds": [0, 1], "batch_size": 32, "epochs": 12}
    model = contest.build_contestants(windows, units=[4, 3], learning_rate=0.05, **how)
    first = contest.measure_errors(model, windows, inputs, **how)
    turned = {name: inputs[name] for name in ("all", "0")}
    return first, contest.measure_errors(model, windows, turned, **how)


def test_the_contest_tells_what_tells_something(windows, found):
    errors = found[0]
    of_test = float(windows["y"][windows["part"] == 2].var())
    assert (errors["test"].sel(encoding="all") < 0.5 * of_test).all()
    assert (errors["test"].sel(encoding="0") > 0.8 * of_test).all()
    assert (errors["test"].sel(encoding="masked") > 0.8 * of_test).all()
    assert float(errors["ridge"].sel(encoding="all")) < 0.5 * of_test
    assert contest.best_encoding(errors) == "all"


def test_a_training_leaves_nothing_for_the_next(found):
    first, second = found
    for part in ("validation", "test"):
        again = first[part].sel(encoding=second["encoding"])
        np.testing.assert_array_equal(second[part].values, again.values)


def test_seeds_differ(found):
    zero, one = found[0]["test"].sel(encoding="all").values
    assert zero != one


def test_a_stack_among_others_learns_what_it_learns_alone(windows):
    """With SGD the five would slow each other down; with Adam they do not."""
    x = {"0": encodings.zero(windows["x"].values, np.ones(windows["x"].shape, bool))}
    errors = []
    for seeds in ([3], [3, 4]):
        how = {"seeds": seeds, "batch_size": 32, "epochs": 3}
        model = contest.build_contestants(windows, units=[4], learning_rate=0.02, **how)
        found = contest.measure_errors(model, windows, x, **how)
        errors.append(float(found["test"].sel(seed=3)[0]))
    assert errors[0] == pytest.approx(errors[1], rel=1e-3)
