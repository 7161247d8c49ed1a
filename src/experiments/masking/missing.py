"""Real windows in which numbers or whole steps are missing."""

from __future__ import annotations

import numpy as np
import xarray as xr

from experiments.data.samples import load_windows
from experiments.data.schema import PARTS, DataError
from notebook_pipeline.repository import project_root

BLOCKS = 30
"""Blocks of time that the capture is cut into, a minute each."""

_PART_OF_BLOCK = np.array([PARTS.index(name) for name in ("train",) * 3 + ("validation", "test")])


def load_blocks(dataset: str, target: str, *, window: int, stride: int) -> xr.Dataset:
    """Load windows of a long series, their parts taking turns by blocks of time.

    Of the real data at hand the order book leaves the least noise: there are 1,700 windows to test
    on, where the vowels have 370 utterances and errors of seeds that differ by half. Its target
    drifts: with one part after the other, as configurations have them, the errors of seeds differed
    by an eighth on complete data; with parts in turn by 2 %. Window, units, epochs and batches were
    chosen on complete data too, before any encoding was tried.

    Args:
        dataset: A key of ``datasets`` in params.yaml, processed to the layout ``series``.
        target: What is forecast.
        window: Steps of a window.
        stride: Steps from one window to the next; neighbouring windows are nearly equal.

    Returns:
        ``x (sample, time, feature)`` and ``y (sample)``, standardised by the training part of the
        configurations, and ``part (sample)``.

    Raises:
        DataError: if the processed data isn't there, or too short for the window.
    """
    path = project_root() / "data/processed" / f"{dataset}.zarr"
    samples = load_windows(path, target=target, window=window, scale_target=True)
    return in_blocks(samples, ahead=samples.attrs["horizon"], stride=stride)


def in_blocks(samples: xr.Dataset, *, ahead: int, stride: int) -> xr.Dataset:
    """Have the parts of windows take turns: three blocks for training, then one each.

    Args:
        samples: Windows of one series in order, one for each of its rows that can end one.
        ahead: Rows that the target looks ahead.
        stride: Rows from one window to the next.

    Returns:
        ``x``, ``y`` and ``part`` of the windows that lie in one block, what their target looks
        ahead to included: no part sees a row of another.

    Raises:
        DataError: if a part is left without a window.
    """
    count, window = samples.sizes["sample"], samples.sizes["time"]
    rows = count + window - 1 + ahead
    first = np.arange(count)
    block, last = (row * BLOCKS // rows for row in (first, first + window - 1 + ahead))
    part = _PART_OF_BLOCK[block % len(_PART_OF_BLOCK)]
    kept = np.flatnonzero((block == last) & (first % stride == 0))
    for index, name in enumerate(PARTS):
        if not (part[kept] == index).any():
            raise DataError(
                f"masking.window is {window} and masking.stride {stride}: with {ahead} rows ahead "
                f"that leaves the {name} part no window in blocks of {rows // BLOCKS} rows"
            )
    return samples.assign(part=("sample", part)).isel(sample=kept)[["x", "y", "part"]]


def observed_numbers(shape: tuple[int, ...], *, missing: float) -> np.ndarray:
    """Draw which numbers are there, each by itself.

    Args:
        shape: ``(sample, time, feature)``.
        missing: Share of numbers that are not there.

    Returns:
        True where a number is there, of that shape.
    """
    return np.random.default_rng(0).random(shape) >= missing


def observed_steps(shape: tuple[int, ...], *, missing: float, gap: float) -> np.ndarray:
    """Draw which steps are there; others are missing with all their features, in gaps.

    Arguments and result are those of :func:`observed_numbers`; ``gap`` is the mean length of a gap
    in steps. Gaps have geometric lengths: a gap ends at each step with probability ``1 / gap``.
    """
    draws = np.random.default_rng(0).random(shape[:2])
    begins = missing / (1 - missing) / gap  # so that the share of missing steps is the same at all
    there = np.empty(shape[:2], bool)
    there[:, 0] = draws[:, 0] >= missing
    for step in range(1, shape[1]):
        limit = np.where(there[:, step - 1], begins, 1 - 1 / gap)
        there[:, step] = draws[:, step] >= limit
    return np.broadcast_to(there[..., np.newaxis], shape)
