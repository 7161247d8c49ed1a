"""Steps that are missing inside a sequence: masked, read as zeros, or NaN."""

from __future__ import annotations

import keras
import numpy as np

from experiments.masking.padding import common_steps, last_hidden, mask_value_of, unmasked
from experiments.shared.evidence import for_each_model
from experiments.shared.stack import distance

SHORT, LONG = 1, 6
"""Steps of the two gaps."""


def _with_gap(model: keras.Model, x: np.ndarray, steps: int) -> np.ndarray:
    """Return ``x`` with so many steps of the mask's value put into its middle."""
    return np.insert(x, [x.shape[1] // 2] * steps, mask_value_of(model), axis=1)


@for_each_model(
    gap_masked_minus_deleted=("Last h over a masked gap against the steps around it alone", "1"),
    longer_gap_moves=(
        f"Move of the last h when a masked gap grows from {SHORT} to {LONG} steps",
        "1",
    ),
    longer_gap_read_moves=("The same with the gap read as zeros instead of masked", "1"),
)
def measure_gaps(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Put a gap into the middle of each sequence, and let it grow.

    Args:
        model: A stack, with or without a ``Masking`` layer.
        x: ``(sample, time, feature)``, padded behind; the steps that all sequences have are used.
    """
    real = common_steps(model, x)
    short, long = (_with_gap(model, real, steps) for steps in (SHORT, LONG))
    plain = unmasked(model)
    masked = last_hidden(model, short)
    return {
        "gap_masked_minus_deleted": distance(masked, last_hidden(model, real)),
        "longer_gap_moves": distance(masked, last_hidden(model, long)),
        "longer_gap_read_moves": distance(last_hidden(plain, short), last_hidden(plain, long)),
    }


@for_each_model(
    nan_skipped=("Share of NaN steps that the stack's Masking skips", "1"),
    nan_skipped_by_nan=("Share of NaN steps that Masking(nan) skips", "1"),
    nan_in_last_h=("Share of NaN in the last h after one NaN step", "1"),
)
def measure_nan(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Set one step in the middle to NaN; arguments are those of :func:`measure_gaps`."""
    holed = common_steps(model, x).copy()
    middle = holed.shape[1] // 2
    holed[:, middle] = np.nan
    step = holed[:, middle : middle + 1]
    own = [layer for layer in model.layers if isinstance(layer, keras.layers.Masking)]
    by_nan = keras.layers.Masking(np.nan, dtype=step.dtype.name)
    return {
        "nan_skipped": max((_skipped(layer, step) for layer in own), default=0.0),
        "nan_skipped_by_nan": _skipped(by_nan, step),
        "nan_in_last_h": float(np.isnan(last_hidden(model, holed)).mean()),
    }


def _skipped(masking: keras.layers.Masking, step: np.ndarray) -> float:
    """Return the share of rows of ``step (sample, 1, feature)`` that are skipped."""
    return float(1 - np.mean(masking.compute_mask(step)))
