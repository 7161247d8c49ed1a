"""Masks of padded batches, checked before a GPU is given them."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_cudnn_mask(mask: Any) -> None:
    """Refuse a mask that cuDNN can't take, before training starts.

    Keras hands an LSTM to cuDNN by itself where there is a GPU, and stops in the middle of a batch
    if a sequence is padded anywhere but behind, or has no real step. On a CPU any mask is fine.

    Args:
        mask: ``(sample, time)``, true where a step is real.

    Raises:
        ValueError: naming the first row that cuDNN doesn't take and what would be right, or if the
            mask has another number of dimensions.

    Example:
        >>> check_cudnn_mask([[True, True, False], [True, False, False]])
    """
    mask = np.asarray(mask, bool)
    if mask.ndim != 2:
        raise ValueError(f"the mask has shape {mask.shape}; it must be (sample, time)")
    empty = ~mask.any(axis=1)
    late = mask[:, 1:] & ~mask[:, :-1]  # a real step right after a masked one
    for row in np.flatnonzero(empty | late.any(axis=1)):
        if empty[row]:
            raise ValueError(
                f"row {row} of the mask has no real step, which cuDNN doesn't take; leave the "
                "sequence out, or use LSTM(..., use_cudnn=False)"
            )
        step = int(late[row].argmax()) + 1
        raise ValueError(
            f"row {row} of the mask is real at step {step} and masked right before it; cuDNN takes "
            'padding behind alone, as pad_sequences(..., padding="post") makes it. Where steps are '
            "masked in between, use LSTM(..., use_cudnn=False)"
        )
