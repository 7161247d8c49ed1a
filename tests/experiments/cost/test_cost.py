"""The verdict on what states cost, and the other verdict where ways cost something else."""

from functools import partial
from time import sleep

import numpy as np
import pytest
import xarray as xr

from experiments.claims.rules import decide, load_ledger
from experiments.cost import costs, returning, streaming, timing, training, wrapping
from lstm_states.stateful import reset_states
from tests.experiments.cost import held
from tests.repository import ROOT

CLAIM = load_ledger(ROOT / "claims.yaml").claims[2]


def decided(**values):
    """The verdict of the rule, and how it came out on each side."""
    evidence = {
        name: {"values": dict(enumerate(numbers)), "says": "", "unit": "1"}
        for name, numbers in values.items()
    }
    decision = decide(CLAIM, evidence)
    return decision["verdict"], list(decision["sides"].values())


def made(*ratios, name="recomputing_at_least_twice"):
    """Made-up costs: in case n the costlier way takes ``ratios[n]`` times as much."""
    taken = {
        f"{number} steps": xr.DataArray(
            [[ratio, ratio, 9 * ratio], [1.0, 1.0, 0.1]],  # the last round is out of line
            dims=("way", "round"), coords={"way": ["costly", "frugal"]},
            attrs={"long_name": "Time", "units": "s"},
        )
        for number, ratio in enumerate(ratios)
    }  # fmt: skip
    counted = {case: [6, 2] for case in taken}
    found = costs.make_costs(taken, counted, apart=[0] * len(taken), counts="Steps", unit="1")
    return costs.measure_passed(found, name)[name].values.tolist()


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("memory_at_least_twice", 2),
        ("recomputing_at_least_twice", 2),
        ("states_returned_slower", 1.2),
        ("head_wrapped_slower", 1.2),
    ],
)
def test_a_limit_is_passed_from_its_value_on_in_the_median(name, limit):
    assert made(limit, limit - 0.01, limit + 1, name=name) == [1, 0, 1]


def test_limits_decide_claim_2():
    def verdict(memory, recomputing, returned):
        return decided(
            memory_at_least_twice=made(*memory, name="memory_at_least_twice"),
            recomputing_at_least_twice=made(*recomputing),
            states_returned_slower=made(*returned, name="states_returned_slower"),
        )

    assert verdict((3, 7), (8, 60), (1.0, 1.1)) == ("depends", ["holds", "holds", "fails"])
    assert verdict((3, 7), (8, 60), (1.3, 1.4)) == ("supported", ["holds"] * 3)
    assert verdict((1, 1), (1.5, 1), (1.0, 1.1)) == ("refuted", ["fails"] * 3)
    assert verdict((3, 7), (8, 1.5), (1.0, 1.1)) == ("undecided", ["holds", "open", "fails"])


def test_evidence_says_what_is_counted_and_how_far_apart():
    found = streaming.measure_streaming([3, 5], rounds=1)
    evidence = costs.measure_passed(found, "recomputing_at_least_twice")
    assert list(evidence["model"].values) == ["3 steps", "5 steps"]
    assert evidence["recomputing_at_least_twice_counts_more"].values.tolist() == [3, 5]
    assert float(evidence["recomputing_at_least_twice_apart"].max()) < 1e-6
    assert all(v.attrs["long_name"] and v.attrs["units"] == "1" for v in evidence.values())


# Time


def test_ways_take_turns_and_every_second_round_goes_backwards():
    calls = []
    ways = {name: partial(lambda name: (calls.append(name), sleep(0.021)), name) for name in "ab"}
    milliseconds = timing.time_in_turns(ways, rounds=3)
    assert calls[-6:] == ["a", "b", "b", "a", "a", "b"]
    assert milliseconds.dims == ("way", "round")
    assert milliseconds.shape == (2, 3)
    assert 21 <= float(milliseconds.min()) < 200


def test_quick_calls_are_repeated_and_counted_singly():
    calls = []
    milliseconds = timing.time_in_turns(
        {"quick": lambda: (calls.append(1), sleep(0.002))}, rounds=2
    )
    assert len(calls) > 8
    assert 2 <= float(milliseconds.min()) < 15


def test_recomputing_one_step_is_no_slower_and_recomputing_many_is():
    found = streaming.measure_streaming([1, 400], rounds=7)
    passed = costs.measure_passed(found, "recomputing_at_least_twice")
    assert passed["recomputing_at_least_twice"].values.tolist() == [0, 1]
    assert found["counted"].values.tolist() == [[1, 1], [400, 1]]
    assert float(found["apart"].max()) < 1e-6


def test_the_fused_kernel_predicts_the_same():
    plain = streaming.measure_streaming([5], rounds=1)
    fast = streaming.measure_streaming([5], rounds=1, accelerated=True)
    assert float(fast["apart"].max()) < 1e-6
    assert fast["counted"].values.tolist() == plain["counted"].values.tolist()


def test_states_that_were_not_kept_are_seen():
    """Zero states in place of the kept ones predict something else."""
    model = streaming._stack_with_states(accelerated=False)
    x = np.random.default_rng(0).normal(size=(1, 5, streaming.FEATURES)).astype(np.float32)
    zeros = [np.zeros(size, np.float32) for size in streaming._sizes()]
    whole, last = model([x, *zeros])[0], model([x[:, -1:], *zeros])[0]
    assert abs(float(whole[0, 0]) - float(last[0, 0])) > 1e-3


def test_states_are_returned_beside_an_equal_prediction():
    found = returning.measure_returning([4], batch_size=2, rounds=1)
    # The prediction; then of each layer every h, the last h and the last c.
    assert found["counted"].values.tolist() == [[2 * (1 + (64 + 32) * (4 + 2)), 2]]
    assert found["apart"].values.tolist() == [0]
    assert list(found["way"].values) == ["states returned", "prediction alone"]


def test_a_stack_that_works_more_for_its_states_is_seen(monkeypatch):
    def twice_the_work(model):
        telling = stock(model)
        telling.predict_on_batch = partial(_twice, telling.predict_on_batch)
        return telling

    def _twice(run, x):
        run(x)
        return run(x)

    stock = returning.returning_states
    monkeypatch.setattr(returning, "returning_states", twice_the_work)
    found = returning.measure_returning([200], batch_size=4, rounds=7)
    passed = costs.measure_passed(found, "states_returned_slower")
    assert passed["states_returned_slower"].values.tolist() == [1]


def test_a_wrapped_head_gives_the_same_from_more_operations():
    found = wrapping.measure_wrapping(30, batch_size=4, rounds=1)
    assert float(found["apart"].sel(case="prediction")) == 0
    assert float(found["apart"].sel(case="gradients")) < 1e-6
    counted = found["counted"].sel(case="prediction")
    assert float(counted.sel(way="wrapped")) > 30 * 2 > 30 > float(counted.sel(way="bare"))


# Memory


def growth(prepare, piece):
    found = training.measure_training(
        [1000], piece=piece, batch_size=1, processes=1, prepare=prepare
    )
    return found, costs.measure_passed(found, "memory_at_least_twice")


def test_pieces_save_memory_unless_everything_is_kept():
    found, passed = growth(held.gives_back, piece=100)
    assert passed["memory_at_least_twice"].values.tolist() == [1]
    whole, pieces = found["taken"].sel(case="1000 steps").squeeze("round").values
    assert whole == pytest.approx(1000 * held.PER_STEP / training.MB, rel=0.05)
    assert pieces == pytest.approx(100 * held.PER_STEP / training.MB, rel=0.5)
    _, passed = growth(held.keeps_everything, piece=100)
    assert passed["memory_at_least_twice"].values.tolist() == [0]


def test_what_back_propagation_needs_is_counted_by_the_step():
    found, passed = growth(held.gives_back, piece=500)
    per_step = 4 * 6 * (64 + 32) / training.MB  # bytes, quantities, units; one sequence
    np.testing.assert_allclose(found["counted"], [[1000 * per_step, 500 * per_step]])
    assert float(passed["memory_at_least_twice_counts_more"][0]) == pytest.approx(2)
    assert float(found["apart"].max()) < 1e-5


def test_lost_states_show_in_the_predictions(monkeypatch):
    monkeypatch.setattr(training.keras.Model, "predict_on_batch", forgetful)
    assert training._apart(20, 10, 2) > 1e-3


def forgetful(model, x):
    reset_states(model)
    return np.array(model(x))


def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="'in one piece' failed: ValueError: 1000 steps are too"):
        growth(held.fails, piece=100)


def test_training_in_pieces_takes_less_than_in_one():
    found = training.measure_training([600], piece=50, batch_size=128, processes=1)
    passed = costs.measure_passed(found, "memory_at_least_twice")
    assert passed["memory_at_least_twice"].values.tolist() == [1]
