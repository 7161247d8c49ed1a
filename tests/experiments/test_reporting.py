import numpy as np
import pytest
import xarray as xr

from experiments.claims.page import describe_decision
from experiments.cost.words import describe_ratios
from experiments.depth.words import describe_by_layer
from experiments.forecasting.words import (
    answer_by_step,
    answer_padding,
    answer_result,
    describe_change,
    describe_lead,
    describe_memory,
    describe_results,
    describe_saturation,
    describe_training,
    describe_warm_up,
    lead_in_words,
    results_table,
    states_table,
)
from experiments.shared.scores import METRICS, SCORES
from experiments.shared.words import describe_evidence, describe_passed, evidence_table


@pytest.fixture
def results():
    columns = {
        "score": [0.5, 0.1, 0.45],
        "low": [0.4, 0.05, 0.35],
        "high": [0.6, 0.15, 0.55],
        "gain": [0, 0.4, 0.05],
        "gain_low": [0, 0.3, -0.01],
        "gain_high": [0, 0.5, 0.11],
    }
    return xr.Dataset(
        {name: ("predictor", values) for name, values in columns.items()}
        | {"seed_score": ("seed", [0.5, 0.25, 0.75])},
        coords={"predictor": ["model", "mean", "ridge"]},
        attrs={"metric": "r2"},
    )


@pytest.fixture
def summary():
    names = ["hidden_size", "cell_size", "hidden_saturated", "half_life", "change"]
    names += [
        f"{g}_gate_{end}" for g in ("input", "forget", "output") for end in ("closed", "open")
    ]
    values = {name: ("layer", [number / 8, number / 16]) for number, name in enumerate(names)}
    return xr.Dataset(values, coords={"layer": ["lstm", "lstm_1"]})


def test_every_metric_has_a_name():
    assert {name for name, _ in SCORES.values()} == set(METRICS)


@pytest.mark.parametrize(
    ("gain", "low", "high", "words"),
    [
        (0.05, 0.01, 0.09, "beats ridge: +0.050 (95 % CI +0.010 to +0.090)"),
        (
            0.05,
            -0.01,
            0.11,
            "does not differ clearly from ridge: +0.050 (95 % CI −0.010 to +0.110)",
        ),
        (-0.05, -0.1, 0.0, "does not differ clearly from ridge: −0.050 (95 % CI −0.100 to +0.000)"),
        (-0.05, -0.09, -0.01, "is beaten by ridge: −0.050 (95 % CI −0.090 to −0.010)"),
    ],
)
def test_a_lead_counts_only_if_its_interval_leaves_out_zero(gain, low, high, words):
    assert lead_in_words("ridge", gain, low, high) == f"The LSTM stack {words}"


def test_the_lead_is_that_on_the_strongest_baseline(results):
    assert describe_lead(results) == (
        "The LSTM stack does not differ clearly from ridge: +0.050 (95 % CI −0.010 to +0.110)"
    )


def test_results_in_words(results):
    assert describe_results(results) == (
        "**R² on the test part: 0.500**, the median of 3 seeds (0.250 to 0.750; "
        "95 % CI of the median 0.400 to 0.600). "
        "**The LSTM stack does not differ clearly from ridge: +0.050 (95 % CI −0.010 to +0.110).**"
    )


def test_results_as_a_table(results):
    table = results_table(results).data
    assert list(table.columns[:3]) == ["predictor", "R²", "95 % interval"]
    assert table.to_numpy().tolist() == [
        ["LSTM stack, median of seeds", "0.500", "0.400 to 0.600", "", ""],
        ["mean", "0.100", "0.050 to 0.150", "+0.400", "+0.300 to +0.500"],
        ["ridge", "0.450", "0.350 to 0.550", "+0.050", "-0.010 to +0.110"],
    ]


def test_states_as_a_table(summary):
    table = states_table(summary).data.set_index("")
    assert list(table.columns) == ["lstm", "lstm_1"]
    assert len(table) == len(summary)
    assert table.loc["size of c (root mean square)"].tolist() == ["0.12", "0.06"]
    assert table.loc["|h| above 0.9"].tolist() == ["25.0%", "12.5%"]
    assert table.loc["half-life of c, median unit (steps)"].tolist() == ["0.38", "0.19"]
    assert table.loc["forget gate above 0.9"].tolist() == ["100.0%", "50.0%"]


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ([2, 2], "epoch 2; validation loss 0.300 to 0.700"),
        ([2, 1], "epochs 1 to 2; validation loss 0.300 to 0.500"),
    ],
)
def test_training_in_words(kept, words):
    history = xr.Dataset(
        {"val_loss": (("seed", "epoch"), [[0.9, 0.3], [0.5, 0.7]]), "kept_epoch": ("seed", kept)},
        coords={"epoch": [1, 2]},
    )
    assert describe_training(history) == f"Kept weights are from {words}"


@pytest.mark.parametrize(
    ("describe", "words"),
    [
        (describe_change, "Relative change of h per step: 0.50 in lstm, 0.25 in lstm_1"),
        (describe_saturation, "Forget gates above 0.9: 100% in lstm, 50% in lstm_1"),
        (describe_memory, "Half-life of a cell state, in steps: 0.4 in lstm, 0.2 in lstm_1"),
    ],
)
def test_states_in_words(summary, describe, words):
    assert describe(summary) == words


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (12, "0.500 after 1, 0.590 after 10, 0.610 after 12"),
        (10, "0.500 after 1, 0.590 after 10"),
        (4, "0.500 after 1, 0.530 after 4"),
    ],
)
def test_the_warm_up_is_that_of_the_median_seed(steps, words):
    median = 0.5 + 0.01 * np.arange(steps)
    by_step = xr.Dataset(
        {"score": (("seed", "steps_seen"), [median - 0.3, median, median + 0.01])},
        coords={"steps_seen": 1 + np.arange(steps)},
        attrs={"metric": "auc"},
    )
    assert describe_warm_up(by_step) == f"AUC by the number of steps seen: {words}"


def test_evidence_in_words_and_as_a_table():
    about = {"long_name": "Move of layer 2", "units": "1"}
    evidence = xr.Dataset(
        {"move": ("model", [0.5, 0.25], about)}, coords={"model": ["trained", "seed 0"]}
    )
    assert describe_evidence(evidence, "move") == "Move of layer 2: 0.25 to 0.5"
    assert evidence_table(evidence).data.to_dict("records") == [
        {"measured": "Move of layer 2", "value": "0.25 to 0.5"}
    ]
    beside = evidence_table(evidence.assign(other=evidence["move"]), {"move": np.float64(0.15)})
    assert beside.data.to_dict("records") == [
        {"measured": "Move of layer 2", "in this cell": "0.15", "on all stacks": "0.25 to 0.5"},
        {"measured": "Move of layer 2", "in this cell": "", "on all stacks": "0.25 to 0.5"},
    ]


def test_two_layers_in_words():
    shares = {"open_layer_1": ("model", [0.25, 0.5]), "open_layer_2": ("model", [0.75, 0.75])}
    assert describe_by_layer(xr.Dataset(shares), "open", what="Open gates") == (
        "Open gates: 0.25 to 0.5 in layer 1, 0.75 in layer 2"
    )


@pytest.mark.parametrize(
    ("verdict", "words"),
    [("supported", "a: 1"), ("refuted", "b: 2 to 3"), ("depends", "b: 2 to 3"),
     ("undecided", "d: 4")],
)  # fmt: skip
def test_what_decided_a_claim(verdict, words):
    tests = [
        {"says": "a", "values": {"x": 1}, "outcome": "holds"},
        {"says": "b", "values": {"x": 2, "y": 3}, "outcome": "fails"},
        {"says": "c", "values": {}, "outcome": "open"},
        {"says": "d", "values": {"x": 4}, "outcome": "open"},
    ]
    assert describe_decision({"verdict": verdict, "tests": tests}) == words


def test_nothing_measured_decides_nothing():
    row = {"verdict": "undecided", "tests": [{"says": "c", "values": {}, "outcome": "open"}]}
    assert describe_decision(row) == "Not measured"


def test_where_a_limit_is_passed():
    def said(*values):
        about = {"long_name": "It is slow", "units": "1"}
        return describe_passed(xr.DataArray(list(values), {"model": ["a", "b"]}, attrs=about))

    assert said(1.0, 1.0) == "It is slow: yes (a, b)"
    assert said(0.0, 0.0) == "It is slow: no (a, b)"
    assert said(0.0, 1.0) == "It is slow: yes (b); no (a)"


def test_ratios_are_those_of_medians():
    taken = xr.DataArray(
        [[[8, 9, 99], [1, 2, 3]], [[5, 5, 5], [5, 5, 5]]],
        dims=("case", "way", "round"),
        coords={"case": ["a", "b"], "way": ["slow", "quick"]},
        attrs={"long_name": "Time"},
    )
    assert describe_ratios(taken) == "Time, slow to quick: 4.5 (a), 1 (b)"


def test_a_ratio_to_nothing_is_no_number():
    taken = xr.DataArray(
        [[[8.0], [0.0]]],
        dims=("case", "way", "round"),
        coords={"case": ["a"], "way": ["slow", "quick"]},
        attrs={"long_name": "Memory"},
    )
    assert describe_ratios(taken) == "Memory, slow to quick: no number (a)"


def residuals(**largest):
    rows = {"cell": 1e-7, "hidden": 2e-7, "layer_output": 3e-7, "carried": 0.0} | largest
    return xr.Dataset({name: ("layer", [value]) for name, value in rows.items()})


@pytest.fixture
def samples():
    attrs = {"title": "Own", "target": "angle"}
    return xr.Dataset({"x": (("sample", "time", "feature"), np.zeros((2, 12, 3)))}, attrs=attrs)


def test_the_answer_of_a_configuration_is_that_of_its_run(samples, results):
    said = answer_result(samples, results, residuals())
    assert said == (
        "**Answer.** On Own, target `angle`, the stack reaches R² 0.500 on the test part, the "
        "median of 3 seeds (0.250 to 0.750), against 0.450 for ridge and 0.100 for mean. The LSTM "
        "stack does not differ clearly from ridge: +0.050 (95 % CI −0.010 to +0.110). The recorded "
        "states are accurate to 3e-7, the largest residual of their equations."
    )
    one = results.isel(seed=[0], predictor=[0, 1])
    said = answer_result(samples, one, residuals(hidden=0.5))
    assert "R² 0.500 on the test part, against 0.100 for mean. The LSTM stack beats mean" in said
    assert "accurate to 0.5" in said


def test_what_diverged_is_said_to_have_no_number(samples, results):
    lost = results * np.nan
    lost.attrs = results.attrs
    said = answer_result(samples, lost, residuals(cell=np.nan))
    assert "R² (no number) on the test part" in said
    assert "can't be compared with mean: there is no score" in said
    assert "accurate to no number" in said


@pytest.mark.parametrize(
    ("carried", "words"),
    [(0.0, "padding changes nothing"), (0.25, "by up to 0.25: padding leaves")],
)
def test_the_answer_says_what_padding_did(samples, results, carried, words):
    said = answer_padding(samples, results, residuals(carried=carried))
    assert words in said
    assert "R² 0.500" in said


def test_the_answer_by_step_says_how_many_it_takes(samples, results):
    kept = {"warm_up_steps": {"values": {"seed 0": 3.0, "seed 1": 7.0}}}
    said = answer_by_step(samples, results, residuals(), kept)
    assert (
        "After 3 to 7 of the 12 steps of a window, seed by seed, the score stays within 0.01"
        in said
    )
