import numpy as np
import pytest
import xarray as xr

from experiments.data.schema import PARTS
from experiments.shared.baselines import ALPHAS, fit_baselines


def make_samples(x, y, part, **more):
    variables = {
        "x": (("sample", "time", "feature"), np.asarray(x, np.float32)),
        "part": ("sample", part),
    }
    for name, values in {"y": y, **more}.items():
        values = np.asarray(values)
        variables[name] = ("sample", "time")[: values.ndim], values
    return xr.Dataset(variables)


@pytest.fixture
def linear(rng):
    """Sixty windows of 2 steps and 2 features whose target is a plain sum, parts by turns."""
    x = rng.normal(0, 30, (60, 2, 2))
    return make_samples(x, x.sum((1, 2)) + 5, np.arange(60) % 3)


def part_of(samples, name, variable):
    return samples[variable].values[samples["part"].values == PARTS.index(name)]


def test_ridge_is_the_solution_of_its_equation(linear):
    x, y = part_of(linear, "train", "x").reshape(20, 4), part_of(linear, "train", "y")
    centered = x - x.mean(0)
    # Without noise the weakest penalty is the best one.
    matrix = centered.T @ centered + ALPHAS[0] * np.eye(4)
    weights = np.linalg.solve(matrix, centered.T @ (y - y.mean()))
    expected = (part_of(linear, "test", "x").reshape(20, 4) - x.mean(0)) @ weights + y.mean()
    predictions = fit_baselines("regression", linear)
    np.testing.assert_allclose(predictions["ridge"], expected, rtol=1e-4)
    np.testing.assert_allclose(predictions["ridge"], part_of(linear, "test", "y"), atol=0.5)
    np.testing.assert_allclose(predictions["mean"], y.mean())
    assert list(predictions) == ["mean", "ridge"]


def test_the_validation_part_chooses_the_penalty(linear):
    """Where validation contradicts training, the strongest penalty does the least harm."""
    weak = fit_baselines("regression", linear)["ridge"]
    y = linear["y"].values
    validation = linear["part"].values == PARTS.index("validation")
    linear["y"] = "sample", np.where(validation, 10 - y, y)
    strong = fit_baselines("regression", linear)["ridge"]
    assert np.std(strong) < 0.8 * np.std(weak)


@pytest.mark.parametrize("task", ["regression", "binary", "classes"])
def test_targets_of_the_test_part_have_no_say(linear, task):
    if task != "regression":
        linear["y"] = "sample", (linear["y"].values > 5).astype(np.float32)
    before = fit_baselines(task, linear)
    y = linear["y"].values.copy()
    y[linear["part"].values == PARTS.index("test")] = np.nan
    linear["y"] = "sample", y
    after = fit_baselines(task, linear)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_of_a_target_per_step_the_last_one_counts(linear):
    y = linear["y"].values
    per_step = linear.assign(y=(("sample", "time"), np.stack([y * 0 - 1e6, y], axis=1)))
    for name, predicted in fit_baselines("regression", linear).items():
        np.testing.assert_array_equal(fit_baselines("regression", per_step)[name], predicted)


@pytest.mark.parametrize("per_step", [False, True])
def test_persistence_is_handed_through(linear, per_step):
    known = np.arange(60.0)
    dims = ("sample", "time")[: 1 + per_step]
    values = np.stack([known * 0 - 7, known], axis=1) if per_step else known
    predictions = fit_baselines("regression", linear.assign(persistence=(dims, values)))
    np.testing.assert_array_equal(predictions["persistence"], known[2::3])
    assert list(predictions) == ["mean", "persistence", "ridge"]


def test_the_linear_model_sees_the_window_before_its_centering(linear):
    plain = fit_baselines("regression", linear)
    means = linear["x"].mean("time")
    centered = linear.assign(x=linear["x"] - means, window_means=means)
    for name, predicted in fit_baselines("regression", centered).items():
        np.testing.assert_allclose(predicted, plain[name], rtol=1e-4)


def test_binary_baselines_are_probabilities(linear):
    linear["y"] = "sample", (linear["y"].values > 20).astype(np.float32)
    train, test = (part_of(linear, name, "y") for name in ("train", "test"))
    predictions = fit_baselines("binary", linear)
    np.testing.assert_allclose(predictions["base rate"], np.full(20, train.mean()))
    chance = predictions["logistic regression"]
    assert ((chance > 0) & (chance < 1)).all()
    assert chance[test == 1].min() > chance[test == 0].max()
    assert list(predictions) == ["base rate", "logistic regression"]


def test_baselines_of_classes_are_classes(rng):
    y = np.tile([4, 4, 4, 8, 8, 2], 12)
    x = np.eye(9)[y][:, None, :] + rng.normal(0, 0.05, (72, 1, 9))
    predictions = fit_baselines("classes", make_samples(x, y, np.repeat([0, 1, 2], 24)))
    np.testing.assert_array_equal(predictions["most frequent"], np.full(24, 4))
    np.testing.assert_array_equal(predictions["logistic regression"], y[-24:])
    assert list(predictions) == ["most frequent", "logistic regression"]


def test_a_level_gives_a_second_ridge_that_learns_the_change(rng):
    x = rng.normal(size=(60, 3, 1)).astype("float32")
    level = rng.normal(size=60) * 100
    y = level + x.sum((1, 2))
    samples = make_samples(x, y, np.repeat([0, 1, 2], 20)).assign(level=("sample", level))
    predictions = fit_baselines("regression", samples)
    assert list(predictions)[-2:] == ["ridge", "centered ridge"]
    error = {name: np.std(y[40:] - predicted) for name, predicted in predictions.items()}
    # Only the one that is told the level can follow it.
    assert error["centered ridge"] < 2 < 50 < error["ridge"]
