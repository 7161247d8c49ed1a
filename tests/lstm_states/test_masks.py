"""Masks that cuDNN takes, and what is said of others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lstm_states
from experiments.masking.cudnn import keras_check
from lstm_states.masks import check_cudnn_mask


def test_it_is_public():
    assert lstm_states.check_cudnn_mask is check_cudnn_mask


@pytest.mark.parametrize(
    "mask", [[[1, 1, 1], [1, 0, 0]], [[True]], np.ones((2, 3)), np.ones((0, 3))]
)
def test_padding_behind_passes(mask):
    assert check_cudnn_mask(mask) is None


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([[1, 1, 0], [0, 1, 1]], r"row 1 of the mask is real at step 1 and masked right before it"),
        ([[1, 1, 0, 0, 1]], r"row 0 .* real at step 4 .*padding=\"post\""),
        ([[1, 0], [0, 0], [0, 1]], "row 1 of the mask has no real step"),
        ([True, False], r"the mask has shape \(2,\); it must be \(sample, time\)"),
    ],
)
def test_others_are_refused_with_their_row(mask, message):
    with pytest.raises(ValueError, match=message):
        check_cudnn_mask(mask)


def passes(check, mask):
    try:
        check(mask)
    except ValueError:
        return False
    return True


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=2))
def test_it_says_what_keras_says(rows):
    mask = np.array(rows)
    assert passes(check_cudnn_mask, mask) is passes(keras_check, mask)
