from typing import get_args

import numpy as np
import pytest
import xarray as xr
from sklearn.metrics import r2_score, roc_auc_score

from experiments.forecasting.results import (
    measure_by_step,
    measure_leads,
    measure_results,
    measure_warm_up,
)
from experiments.forecasting.settings import Experiment
from experiments.shared.scores import SCORES, TASKS, measure_accuracy, measure_auc, measure_r2
from lstm_states.summary import measure_states


def test_every_loss_that_params_allow_has_a_task_with_a_score():
    assert set(TASKS) == set(get_args(Experiment.model_fields["loss"].annotation))
    assert set(TASKS.values()) == set(SCORES)


@pytest.mark.parametrize("decimals", [6, 1, 0])  # rounded predictions are full of ties
def test_auc_is_scikit_learns(rng, decimals):
    y = rng.integers(0, 2, 300).astype(float)
    predicted = (y + rng.normal(0, 1, 300)).round(decimals)
    assert measure_auc(y, predicted) == pytest.approx(roc_auc_score(y, predicted), abs=1e-12)


@pytest.mark.parametrize(
    ("y", "predicted", "auc"),
    [
        ([0, 0, 1, 1], [1, 2, 3, 4], 1.0),
        ([0, 0, 1, 1], [4, 3, 2, 1], 0.0),
        ([0, 1, 0, 1], [5, 5, 5, 5], 0.5),
        ([0, 1, 1], [1, 1, 2], 0.75),
        ([1, 1, 1], [1, 2, 3], np.nan),
        ([0, 0, 0], [1, 2, 3], np.nan),
    ],
)
def test_auc_by_hand(y, predicted, auc):
    np.testing.assert_equal(measure_auc(np.array(y), np.array(predicted)), auc)


def test_r2_is_scikit_learns(rng):
    y = rng.normal(3, 2, 50)
    predicted = y + rng.normal(0, 1, 50)
    assert measure_r2(y, predicted) == pytest.approx(r2_score(y, predicted))
    assert measure_r2(y, y) == 1
    assert measure_r2(y, np.full(50, y.mean())) == 0


def test_accuracy_is_the_share_of_hits():
    assert measure_accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1])) == 0.75


# Results and their intervals


def of_the_test_part(y):
    """The test part ``y`` behind a training sample that must not count."""
    y = np.asarray(y, float)
    first = np.full_like(y[:1], 1e9)
    return xr.Dataset(
        {
            "y": (("sample", "time")[: y.ndim], np.concatenate([first, y])),
            "part": ("sample", [0] + [2] * len(y)),
        }
    )


def results(task, y, model, baselines=None, *, block=1, resamples=200):
    return measure_results(
        task, of_the_test_part(y), np.atleast_2d(model), baselines or {},
        block=block, resamples=resamples,
    )  # fmt: skip


def test_the_score_is_the_median_of_the_seeds_in_every_draw():
    rng = np.random.default_rng(0)
    y = rng.normal(size=40)
    seeds = y + rng.normal(0, [[0.2], [0.5], [2.0]], (3, 40))
    found = results("regression", y, seeds, {"middle": seeds[1]})
    # The middle seed is the median in the whole and in every draw, so its lead on itself is 0.
    assert found["gain"].sel(predictor="middle").item() == 0
    assert found["gain_low"].sel(predictor="middle").item() == 0
    assert found["gain_high"].sel(predictor="middle").item() == 0


def test_results_score_every_seed_and_baseline():
    found = results(
        "classes",
        [0, 1, 2, 3],
        [[0, 0, 0, 0], [0, 1, 2, 0], [0, 1, 2, 3]],
        {"lazy": np.array([1, 1, 1, 1]), "half": np.array([0, 1, 0, 0])},
    )
    assert list(found["predictor"].values) == ["model", "lazy", "half"]
    np.testing.assert_array_equal(found["score"], [0.75, 0.25, 0.5])
    np.testing.assert_array_equal(found["gain"], [0, 0.5, 0.25])
    np.testing.assert_array_equal(found["seed_score"], [0.25, 0.75, 1])
    assert found.attrs["metric"] == "accuracy"


def test_leads_are_each_seeds_score_above_each_baseline():
    seeds = [[0, 0, 0, 0], [0, 1, 2, 3]]
    others = {"lazy": np.array([1, 1, 1, 1]), "half way": np.array([0, 1, 0, 0])}
    leads = measure_leads(results("classes", [0, 1, 2, 3], seeds, others), [3, 7])
    assert list(leads["model"].values) == ["seed 3", "seed 7"]
    np.testing.assert_array_equal(leads["lead_on_lazy"], [0, 0.75])
    np.testing.assert_array_equal(leads["score"], [0.25, 1])
    assert leads["score"].attrs["long_name"] == "accuracy on the test part"
    np.testing.assert_array_equal(leads["lead_on_half_way"], [-0.25, 0.5])
    assert leads["lead_on_lazy"].attrs["long_name"] == "Lead on lazy, accuracy on the test part"


def test_of_a_target_per_step_the_last_one_is_scored():
    found = results("classes", [[5, 0], [5, 1]], [0, 1])
    assert found["score"].item() == 1


@pytest.fixture
def drawn(monkeypatch):
    """The test samples of every draw of the bootstrap, as their targets."""
    draws = []

    def record(y, predicted):
        draws.append(y.astype(int))
        return 0.0

    monkeypatch.setitem(SCORES, "regression", ("r2", record))
    return lambda resamples: np.array(draws[:resamples])


@pytest.mark.parametrize("block", [1, 3, 10, 99])
def test_draws_are_blocks_of_neighbours(drawn, block):
    results("regression", range(10), np.zeros(10), block=block)
    draws = drawn(200)
    assert draws.shape == (200, 10)
    inside = np.arange(1, 10) % min(block, 10) != 0
    assert (np.diff(draws)[:, inside] == 1).all()
    # Every block has a chance, the first and the last included.
    assert set(draws[:, 0]) == set(range(10 - min(block, 10) + 1))


def test_draws_without_blocks_keep_the_classes(drawn):
    y = [4, 4, 4, 7, 9, 9]
    results("regression", y, np.zeros(6), block=0)
    assert (np.sort(drawn(200)) == y).all()


def test_an_interval_is_as_wide_as_theory_says():
    y = np.zeros(400)
    found = results("classes", y, np.arange(400) % 4 == 0, block=0, resamples=2000)
    deviation = np.sqrt(0.75 * 0.25 / 400)
    assert found["low"].item() == pytest.approx(0.75 - 1.96 * deviation, abs=0.006)
    assert found["high"].item() == pytest.approx(0.75 + 1.96 * deviation, abs=0.006)


def test_blocks_widen_the_interval_of_dependent_samples(rng):
    # 40 independent samples, each ten times: as good as 40, not as 400.
    hits = np.repeat(rng.integers(0, 2, 40), 10)
    single, blocks = (
        results("classes", np.ones(400), hits, block=block, resamples=1000) for block in (1, 10)
    )
    ratio = (blocks["high"] - blocks["low"]) / (single["high"] - single["low"])
    assert ratio.item() == pytest.approx(np.sqrt(10), rel=0.25)


def test_gains_are_paired(rng):
    y = rng.normal(0, 1, 100)
    model = y + rng.normal(0, 1, 100)
    found = results("regression", y, model, {"twin": model, "mean": np.zeros(100)}, block=5)
    np.testing.assert_array_equal(
        found[["gain", "gain_low", "gain_high"]].sel(predictor="twin").to_array(), 0
    )
    # The twin's own score is as uncertain as the model's.
    assert found["low"].sel(predictor="twin") == found["low"].sel(predictor="model")
    assert found["high"].sel(predictor="twin") - found["low"].sel(predictor="twin") > 0.1
    low, gain, high = found[["gain_low", "gain", "gain_high"]].sel(predictor="mean").to_array()
    assert low < gain < high


def test_results_are_the_same_each_time(rng):
    y, model = rng.normal(0, 1, (2, 30))
    assert results("regression", y, model).identical(results("regression", y, model))


def test_by_step_is_a_score_for_each_step():
    y = [[0, 1], [1, 0], [1, 1]]
    predictions = np.array([[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], [[0.9, 0.5]] * 3])
    by_step = measure_by_step("binary", of_the_test_part(y), predictions)
    np.testing.assert_array_equal(by_step["score"], [[1.0, 0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(by_step["steps_seen"], [1, 2])
    assert by_step.attrs["metric"] == "auc"


# States


def layer(hidden, cell=0.5, forget=0.5, mask=None, **gates):
    """A layer's trace; ``hidden`` is ``(sample, time, unit)``, the rest is spread to its shape."""
    hidden = np.asarray(hidden, float)
    mask = np.ones(hidden.shape[:2], bool) if mask is None else np.asarray(mask)
    gates = {
        "input_gate": 0.5,
        "candidate": 0.5,
        "output_gate": 0.5,
        **gates,
        "forget_gate": forget,
    }
    values = {"hidden": hidden, "cell": np.broadcast_to(cell, hidden.shape)}
    for name, gate in gates.items():
        values[name] = np.where(mask[..., None], np.broadcast_to(gate, hidden.shape), np.nan)
    dims = ("sample", "time", "unit")
    return xr.Dataset(
        {name: (dims, value) for name, value in values.items()} | {"mask": (dims[:2], mask)},
        attrs={"cell": "LSTM"},
    )


def summary(**layers):
    return measure_states(xr.DataTree.from_dict({f"/{name}": one for name, one in layers.items()}))


def test_states_by_hand():
    found = summary(
        lstm=layer(
            [[[3.0], [-4.0]]],
            cell=[[[1.0], [7.0]]],
            forget=[[[0.25], [0.25]]],
            input_gate=[[[0.05], [0.95]]],
            output_gate=[[[0.95], [0.91]]],
        )
    ).sel(layer="lstm")
    assert found["hidden_size"] == pytest.approx(np.sqrt(12.5))
    assert found["cell_size"] == pytest.approx(5)
    assert found["hidden_saturated"] == 1
    assert found["change"] == pytest.approx(7 / np.sqrt(12.5))
    assert found["half_life"] == pytest.approx(0.5)  # f = 1/4 halves twice a step
    gates = [
        f"{gate}_gate_{end}" for gate in ("input", "forget", "output") for end in ("closed", "open")
    ]
    assert [float(found[name]) for name in gates] == [0.5, 0.5, 0, 0, 0, 1]


def test_the_half_life_is_the_median_units():
    # Half-lives of 1, 2 and 10 steps; the second unit's gate reaches its mean by turns.
    forget = [[[0.5, 0.25, 0.5**0.1], [0.5, 1.0, 0.5**0.1]]]
    assert summary(lstm=layer(np.ones((1, 2, 3)), forget=forget)).half_life == pytest.approx(1.0)
    forget = [[[0.5, 0.5, 0.5**0.1], [0.5, 1.0, 0.5**0.1]]]
    assert summary(lstm=layer(np.ones((1, 2, 3)), forget=forget)).half_life == pytest.approx(2.0)


@pytest.mark.parametrize(("forget", "steps"), [(1.0, np.inf), (0.0, 0.0)])
def test_a_gate_that_is_wide_open_or_shut_keeps_a_state_for_ever_or_for_no_step(forget, steps):
    gates = np.full((1, 2, 3), forget)
    assert summary(lstm=layer(np.ones((1, 2, 3)), forget=gates)).half_life == steps


def test_padding_has_no_say():
    real = [[[0.2], [0.4], [0.95]]]
    padded = [[[0.2], [0.4], [0.95], [0.95], [0.95]]]
    mask = [[True, True, True, False, False]]
    found = summary(lstm=layer(real, cell=2.0), lstm_1=layer(padded, cell=2.0, mask=mask))
    assert list(found["layer"].values) == ["lstm", "lstm_1"]
    xr.testing.assert_allclose(
        found.isel(layer=0, drop=True), found.isel(layer=1, drop=True), rtol=1e-12
    )


def test_layers_inside_a_wrapper_keep_their_address():
    found = summary(**{"bidirectional/forward": layer(np.ones((1, 2, 1)))})
    assert found["layer"].values.tolist() == ["bidirectional/forward"]


def test_the_warm_up_ends_where_the_score_stays_near_the_last():
    scores = [[0.5, 0.8, 0.795, 0.8], [0.8, 0.5, 0.5, 0.8], [0.8] * 4, [np.nan, 1, 1, np.nan]]
    by_step = xr.Dataset(
        {"score": (("seed", "steps_seen"), scores)},
        coords={"steps_seen": [1, 2, 3, 4]},
        attrs={"metric": "auc"},
    )
    found = measure_warm_up(by_step, [0, 1, 2, 5])["warm_up_steps"]
    np.testing.assert_array_equal(found, [2, 4, 1, np.nan])
    assert found["model"].values[-1] == "seed 5"
    assert found.attrs["long_name"] == "Steps until AUC stays within 0.01 of its last value"
