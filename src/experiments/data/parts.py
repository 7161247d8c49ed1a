"""Divide data into training, validation and test parts."""

from __future__ import annotations

import numpy as np
import xarray as xr

from experiments.data.schema import PARTS

_ATTRS = {"long_name": f"index into {', '.join(PARTS)}"}


def split_by_time(size: int, train_fraction: float, validation_fraction: float) -> xr.DataArray:
    """Return the part of each of ``size`` rows: training first, test last."""
    borders = np.round(np.cumsum([train_fraction, validation_fraction]) * size)
    part = np.searchsorted(borders, np.arange(size), side="right").astype(np.int8)
    return xr.DataArray(part, dims="time", attrs=_ATTRS)


def split_by_class(classes: np.ndarray, validation_fraction: float, seed: int) -> np.ndarray:
    """Draw the same share of every class for validation, rounded to whole samples.

    Args:
        classes: Class of each training sample, ``(sample,)``.
        validation_fraction: The share, between 0 and 1.
        seed: Seed of the draw.

    Returns:
        Index into :data:`experiments.data.schema.PARTS`, ``(sample,)``.
    """
    rng = np.random.default_rng(seed)
    part = np.full(len(classes), PARTS.index("train"), np.int8)
    for value in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == value))
        part[members[: round(validation_fraction * len(members))]] = PARTS.index("validation")
    return part
