"""Verdicts on masks, and the other verdict where a mask is lost."""

import keras
import numpy as np
import pytest

from experiments.masking import padding
from tests.experiments.masking.stacks import X, lstm, masked
from tests.experiments.shared import altered
from tests.experiments.shared.judge import verdict


def test_a_step_is_skipped_only_where_all_of_it_is_zero():
    found = padding.measure_zero_steps({"stock": masked(keras.layers.Masking, lstm(), lstm())}, X)
    assert verdict(23, found) == "depends"
    assert float(found["move_of_all_zero_step"][0]) == 0
    assert float(found["genuine_zero_lost"][0]) > 1e-3


def test_without_a_mask_nothing_is_skipped():
    found = padding.measure_zero_steps({"altered": masked(lstm(), lstm())}, X)
    assert verdict(23, found) == "refuted"
    assert float(found["genuine_zero_lost"][0]) == 0


def test_padding_leaves_no_trace():
    found = padding.measure_padding({"stock": masked(keras.layers.Masking, lstm(), lstm())}, X)
    assert verdict(24, found) == "supported"
    assert float(found["padded_minus_bare"][0]) < 1e-12


@pytest.mark.parametrize(
    "layers",
    [
        (lstm(), lstm()),  # no mask at all
        (keras.layers.Masking, lstm(), lstm(kind=altered.IgnoresMask)),  # layer 2 doesn't get it
        (keras.layers.Masking, lstm(kind=altered.IgnoresMask), lstm()),
    ],
)
def test_a_mask_that_does_not_reach_a_layer_flips_the_verdict(layers):
    assert verdict(24, padding.measure_padding({"altered": masked(*layers)}, X)) == "refuted"


def test_a_loss_that_counts_padding_is_found(monkeypatch):
    model = masked(keras.layers.Masking, lstm(), lstm())
    blind = lambda run: float(np.mean((np.asarray(run.sequence) - 1) ** 2))  # noqa: E731
    monkeypatch.setattr(padding, "_loss", blind)
    found = padding.measure_padding({"stock": model}, X)
    assert float(found["loss_padded_minus_bare"][0]) > 1e-3
    assert verdict(24, found) == "refuted"
