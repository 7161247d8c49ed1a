"""Check the masks of padded batches before training on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_cudnn_mask(mask: Any) -> None:
    """Refuse a mask that cuDNN does not accept, before training starts.

    On a GPU, Keras runs an LSTM with cuDNN by default. It stops in the middle of a batch if a
    sequence has padding anywhere but at its end, or no real step. On a CPU, any mask works.

    Args:
        mask: ``(sample, time)``, true where a step is real.

    Raises:
        ValueError: if cuDNN does not accept the mask, naming the first such row and the correct
            form, or if the mask does not have two dimensions.

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
                f"row {row} of the mask has no real step, which cuDNN does not accept; omit the "
                "sequence, or use LSTM(..., use_cudnn=False)"
            )
        step = int(late[row].argmax()) + 1
        raise ValueError(
            f"row {row} of the mask is real at step {step} and masked right before it; cuDNN "
            'accepts only padding at the end, as from pad_sequences(..., padding="post"). If steps '
            "in between are masked, use LSTM(..., use_cudnn=False)"
        )
