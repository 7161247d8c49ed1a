import keras
import numpy as np
import pytest

from experiments.data.made import make_adding, make_means
from experiments.shared import learning
from experiments.shared.evidence import as_evidence
from experiments.shared.models import build_stacked


def build():
    return build_stacked(6, 1, units=(3, 2), learning_rate=0.02)


@pytest.fixture(scope="module")
def tasks():
    return learning.make_tasks(
        make_means, seeds=[3, 1], training_steps=7, batch_size=8, steps=6, first=4, width=2
    )


@pytest.mark.parametrize("steps", range(1, 12))
def test_training_uses_up_the_training_part(steps):
    task = learning.make_tasks(
        make_adding, seeds=[0], training_steps=steps, batch_size=16, shortest=4, longest=4
    )[0]
    assert learning.part_of(task, "train").sizes["sample"] == 16 * steps


def test_each_seed_draws_its_own_data(tasks):
    assert list(tasks) == [3, 1]
    assert not np.array_equal(tasks[3]["x"], tasks[1]["x"])


def test_a_stack_learns_what_it_would_learn_by_itself(tasks):
    """The stack that they are all trained in keeps nothing of the one before."""
    models = learning.fit_models(build, tasks, batch_size=8)
    for seed, task in tasks.items():
        keras.utils.set_random_seed(seed)
        alone = build()
        first = alone.get_weights()
        train = learning.part_of(task, "train")
        keras.utils.set_random_seed(seed)
        alone.fit(train["x"].values, train["y"].values, batch_size=8, verbose=0)
        for ours, theirs, before in zip(
            models[seed].get_weights(), alone.get_weights(), first, strict=True
        ):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
            assert np.abs(theirs - before).max() > 1e-3


def test_untrained_stacks_are_what_training_starts_from(tasks):
    untrained = dict(learning.build_each(build, [3]))[3]
    keras.utils.set_random_seed(3)
    for ours, theirs in zip(untrained.get_weights(), build().get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_predictions_and_errors_are_of_the_test_part(tasks):
    task = tasks[3]
    test = learning.part_of(task, "test")
    assert test.sizes["sample"] == task.sizes["sample"] // 5
    np.testing.assert_array_equal(
        learning.predict(lambda x: x[:, -1], task), test["x"].values[:, -1, 0]
    )
    assert learning.squared_error(lambda x: x[:, -1], task) == pytest.approx(
        float(np.mean((test["x"].values[:, -1, 0] - test["y"].values) ** 2))
    )


def test_ridge_solves_a_linear_task(tasks):
    error = learning.predict_by_ridge(tasks[3]) - learning.part_of(tasks[3], "test")["y"].values
    assert np.abs(error).max() < 0.2


def test_evidence_says_what_it_is_and_where_from():
    rows = {3: {"a": 0.5}, 1: {"a": 0.25}}
    evidence = as_evidence(learning.named(rows), {"a": ("A number", "steps")})
    assert evidence["a"].to_series().to_dict() == {"seed 3": 0.5, "seed 1": 0.25}
    own = learning.on_data(evidence, title="machines.csv")
    assert own["data_a"].attrs == {"long_name": "machines.csv: A number", "units": "steps"}
    np.testing.assert_array_equal(own["data_a"], evidence["a"])
    assert list(learning.named({3: "stack"})) == ["seed 3"]
