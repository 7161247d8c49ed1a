"""What masks do to sides, gaps, losses and outputs, and what shows where a mask is lost."""

import keras
import numpy as np
import pytest

from experiments.masking import cudnn, gaps, handover, losses, masked_steps, sides
from tests.experiments.masking.stacks import X, bare, blind, lstm, masked, stock


def value(found, name):
    return float(found[name][0])


# Sides


def test_masked_padding_may_stand_on_either_side():
    found = sides.measure_sides(stock(), X)
    for side in ("behind", "before", "both"):
        assert value(found, f"masked_{side}_minus_bare") < 1e-12
    assert value(found, "unmasked_behind_minus_bare") > 1e-3
    assert value(found, "unmasked_before_minus_bare") > 1e-3


@pytest.mark.parametrize("stack", [bare(), blind(layer=1), blind(layer=2)])
def test_without_the_mask_padding_on_any_side_shows(stack):
    found = sides.measure_sides(stack, X)
    for side in ("behind", "before", "both"):
        assert value(found, f"masked_{side}_minus_bare") > 1e-3


# cuDNN


def test_cudnn_takes_padding_behind_alone():
    found = cudnn.measure_cudnn(cudnn.MASKS)
    assert dict(zip(found["model"].values, found["taken_by_cudnn"].values, strict=True)) == {
        "no padding": 1,
        "behind": 1,
        "before": 0,
        "both sides": 0,
        "a gap": 0,
        "an empty row": 0,
    }
    assert found["passes_our_check"].values.tolist() == found["taken_by_cudnn"].values.tolist()
    assert float(found["cpu_minus_bare"].max()) < 1e-12


def test_another_check_gives_another_answer():
    found = cudnn.measure_cudnn(cudnn.MASKS, check=lambda mask: None)
    assert set(found["taken_by_cudnn"].values) == {1}
    assert found["passes_our_check"].values.tolist() == [1, 1, 0, 0, 0, 0]


def test_sequences_are_padded_before_by_default():
    assert keras.utils.pad_sequences([[1], [1, 1]]).tolist() == [[0, 1], [1, 1]]


# Gaps and NaN


def test_a_masked_gap_is_as_good_as_deleted_whatever_its_length():
    found = gaps.measure_gaps(stock(), X)
    assert value(found, "gap_masked_minus_deleted") < 1e-12
    assert value(found, "longer_gap_moves") < 1e-12
    assert value(found, "longer_gap_read_moves") > 1e-3


@pytest.mark.parametrize("stack", [bare(), blind(layer=1), blind(layer=2)])
def test_without_the_mask_a_gap_and_its_length_show(stack):
    found = gaps.measure_gaps(stack, X)
    assert value(found, "gap_masked_minus_deleted") > 1e-3
    assert value(found, "longer_gap_moves") > 1e-3


def test_nan_masks_nothing_and_spoils_what_follows():
    found = gaps.measure_nan(stock(), X)
    assert value(found, "nan_skipped") == value(found, "nan_skipped_by_nan") == 0
    assert value(found, "nan_in_last_h") == 1


class MasksNan(keras.layers.Masking):
    """A mask that NaN does take part in."""

    def compute_mask(self, inputs, mask=None):
        return ~keras.ops.all(keras.ops.isnan(inputs), axis=-1)

    def call(self, inputs):
        return keras.ops.where(keras.ops.isnan(inputs), 0.0, inputs)


def test_a_mask_of_nan_is_found():
    found = gaps.measure_nan({"altered": masked(MasksNan, lstm(), lstm())}, X)
    assert value(found, "nan_skipped") == 1
    assert value(found, "nan_skipped_by_nan") == value(found, "nan_in_last_h") == 0


# Losses


def test_loss_and_metrics_count_real_steps_alone():
    found = losses.measure_losses(stock(), X)
    for name in ("loss", "metric", "weighted_metric"):
        assert value(found, f"{name}_minus_real") < 1e-12
    assert value(found, "reshaped_loss_minus_real") > 1e-3
    assert value(found, "own_loss_minus_real") > 1e-3
    assert value(found, "split_loss_minus_real") > 1e-6


def test_without_the_mask_loss_and_metrics_count_padding():
    found = losses.measure_losses(bare(), X)
    for name in ("loss", "metric", "weighted_metric", "reshaped_loss"):
        assert value(found, f"{name}_minus_real") > 1e-3


# Layers between


def test_known_layers_hand_a_mask_on_or_lose_it():
    found = handover.measure_handover(handover.make_parts()).to_dataframe()
    kept = found["mask_handed_on"] == 1
    assert {"Dense", "Dropout", "LSTM with return_sequences"} <= set(found.index[kept])
    assert {"Reshape", "Flatten", "own layer"} <= set(found.index[~kept & (found["warned"] == 1)])
    assert set(found.index[~kept & (found["warned"] == 0)]) == {
        "LSTM without return_sequences",
        "an operator, a + b",
    }


def test_one_line_in_a_layer_of_ones_own_decides():
    found = handover.measure_handover({"loses": handover.Own(), "keeps": handover.OwnMasked()})
    assert found["mask_handed_on"].values.tolist() == [0, 1]
    assert found["warned"].values.tolist() == [1, 0]


# Masked steps


def test_masked_steps_repeat_and_leading_ones_are_zero():
    found = masked_steps.measure_masked_steps(stock(), X)
    assert {name: value(found, name) for name in found} == dict.fromkeys(found, 0)


def test_a_layer_that_ignores_masks_is_found():
    found = masked_steps.measure_masked_steps(blind(layer=1), X)
    assert all(value(found, name) > 1e-3 for name in found)


def test_the_state_goes_through_leading_masked_steps_untouched():
    model = stock()
    assert value(masked_steps.measure_masked_steps(model, X + 1), "leading_state_moves") == 0
    assert np.abs(X[:, : masked_steps.LEADING] + 1).max() > 1  # there was something to read
