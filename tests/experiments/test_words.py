"""The answers that open the reports: worded from what was measured, so true whatever that is."""

import numpy as np
import pytest
import xarray as xr

from experiments.cost import words as cost
from experiments.cost.costs import LIMITS
from experiments.depth import words as depth
from experiments.how_states_flow import words as flow
from experiments.masking import words as masking
from experiments.memory import words as memory
from experiments.memory.variants import VARIANTS

NAN = float("nan")


def kept(**measures):
    return {
        name: {"values": {f"seed {n}": v for n, v in enumerate(values)}, "says": name}
        for name, values in measures.items()
    }


def flowing(**measures):
    stock = {"c_below_moves": [0.0, 1e-16], "h_below_moves": [0.25, 0.5],
             "h_alone_minus_whole": [0.5, 0.5], "c_alone_minus_whole": [0.5, 0.5],
             "numbers_per_unit": [1.0, 1.0]}  # fmt: skip
    return flow.answer(kept(**(stock | measures)))


def test_only_h_rises_where_c_moves_nothing():
    said = flowing()
    assert "carries `h` and `c`; at each step, it passes up `h` alone." in said
    assert "layer 2 moves by 0 to 1e-16; if `h` changes, by 0.25 to 0.5" in said


@pytest.mark.parametrize(
    ("measures", "words"),
    [
        ({"c_below_moves": [0.25, 0.5], "numbers_per_unit": [2, 2]}, "it passes up `h` and `c`."),
        ({"h_below_moves": [0.0, 0.0]}, "it passes up neither `h` nor `c`."),
        ({"c_below_moves": [0.0, 0.5]}, "it passes up `h` and (in some models) `c`."),
        ({"h_alone_minus_whole": [0.0, 0.0]}, "carries `h` alone; at"),
        ({"c_below_moves": [NAN, 0.0]}, "moves by 0, no number in 1 of 2"),
    ],
)
def test_what_rises_and_what_is_carried_is_what_was_measured(measures, words):
    assert words in flowing(**measures)


def remembered(lives, errors):
    sweep = xr.Dataset(
        {"half_life": (("forget_bias", "model", "layer"), np.array(lives, float)[..., None])},
        coords={"forget_bias": [-1.0, 5.0], "step": np.arange(51)},
    )
    slopes = {f"slope_kept_{name}": [1e-9, 0.5] for name in ("default", "chrono", "trained")}
    errors = {f"adding_error_{name}": values for name, values in errors.items()}
    return memory.answer(kept(**slopes, **errors), sweep, length=50)


def test_what_is_learnt_is_listed_by_the_seeds_that_learn_it():
    errors = {name: [0.5, 0.5] for name in VARIANTS} | {
        "do_nothing": [0.16, 0.16], "gru": [0.001, 0.002], "chrono": [0.001, 0.1],
    }  # fmt: skip
    said = remembered([[0.75, 0.5], [50, 50]], errors)
    assert "by forget bias: 0.5 to 0.75 at −1, 50 or more at 5." in said
    assert "gradient at the first step is 1e-9 to 0.5 at Keras's initialisation" in said
    assert "a tenth of 0.16" in said
    assert (
        "with every seed: GRU; with some seeds: LSTM, chrono initialisation; with no seed" in said
    )


def test_a_training_that_diverges_has_learnt_nothing():
    errors = {name: [NAN, NAN] for name in VARIANTS} | {"do_nothing": [0.16, 0.16]}
    said = remembered([[NAN, 1], [30, 50]], errors)
    assert "with no seed: LSTM, forget bias 0" in said
    assert "every seed" not in said
    assert "1, no number in 1 of 2 at −1, 30 to 50 at 5." in said


def test_depth_names_its_data_and_says_where_more_is_held_above():
    names = [
        "regime_layer_1", "regime_layer_2", "regime_layer_2_untrained", "regime_ceiling",
        "past_lost_by_depth", "error_cut_over_whole", "error_flat_over_deep", "r2_signal_near",
        "r2_signal_far", "accuracy_previous", "accuracy_next",
    ]  # fmt: skip
    measured = {name: [0.5] for name in names} | {"data_past_lost_by_depth": [-0.25, 1e-3]}
    said = depth.answer(kept(**measured), data="my-own.csv")
    assert "by −0.25 to 1e-3 on my-own.csv (below 0, it rises)" in said


def masks(**measures):
    names = [
        "move_of_all_zero_step", "padded_minus_bare", "masked_before_minus_bare",
        "loss_minus_real", "metric_minus_real", "longer_gap_moves", "nan_skipped",
        "nan_skipped_by_nan",
    ]  # fmt: skip
    found = kept(**({name: [0.0, 0.0] for name in names} | {
        "move_of_partly_zero_step": [0.5, 0.5], "genuine_zero_lost": [0.25, 0.5],
        "error_zero_over_best_numbers": [0.9, 1.1], "error_zero_over_best_steps": [1.2, 1.3],
    } | measures))  # fmt: skip
    for name in ("numbers", "steps"):
        found[f"error_zero_over_best_{name}"]["says"] = "Test error with 0 over that with masked"
    return masking.answer(found)


def test_a_mask_skips_what_moves_nothing():
    assert "mask's value is skipped: removing it moves the last `h` by 0." in masks()
    assert "A step where half of them do is not skipped: 0.5." in masks()
    assert "is skipped by some stacks: removing" in masks(move_of_all_zero_step=[0.0, 0.5])
    said = "If whole steps are missing, the test error with 0 over that with masked is 1.2 to 1.3"
    assert said in masks()


def test_a_limit_is_passed_or_not_in_each_case():
    measures = {name: [1.0, 0.0] for name in LIMITS} | {f"{n}_apart": [0.0, 1e-6] for n in LIMITS}
    said = cost.answer(kept(**measures))
    assert "Recomputing takes at least twice the time: yes (seed 0); no (seed 1)." in said
    assert "differ by at most 1e-6" in said
