"""Compare padding on either side of a sequence."""

from __future__ import annotations

import keras
import numpy as np

from experiments.masking.padding import apart_from_alone, lengths_of, run_alone, unmasked
from experiments.shared.evidence import for_each_model
from experiments.shared.stack import run_layers


@for_each_model(
    masked_behind_minus_bare=("Padding at the end, masked: last h and c against those alone", "1"),
    masked_before_minus_bare=(
        "Padding at the start, masked: last h and c against those alone",
        "1",
    ),
    masked_both_minus_bare=("Padding on both sides, masked: last h and c against alone", "1"),
    unmasked_behind_minus_bare=(
        "Padding at the end, read as real: last h and c against alone",
        "1",
    ),
    unmasked_before_minus_bare=(
        "Padding at the start, read as real: last h and c against alone",
        "1",
    ),
)
def measure_sides(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Move the padding to either side, and run it masked and read as if it were real.

    Args:
        model: A stack, with or without a ``Masking`` layer.
        x: ``(sample, time, feature)``, padded behind with the mask's value.
    """
    lengths = lengths_of(model, x)
    alone = run_alone(model, x)

    def apart(stack: keras.Model, share_before: float) -> float:
        shifts = (share_before * (x.shape[1] - lengths)).astype(int)
        pairs = zip(x, shifts, strict=True)
        runs = run_layers(stack, np.stack([np.roll(row, shift, axis=0) for row, shift in pairs]))
        return apart_from_alone(runs, alone)

    plain = unmasked(model)
    return {
        "masked_behind_minus_bare": apart(model, 0),
        "masked_before_minus_bare": apart(model, 1),
        "masked_both_minus_bare": apart(model, 0.5),
        "unmasked_behind_minus_bare": apart(plain, 0),
        "unmasked_before_minus_bare": apart(plain, 1),
    }
