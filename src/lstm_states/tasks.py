"""Synthetic tasks with a known answer, for tests and quick looks."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lstm_states.schema import PARTS


def make_adding(
    samples: int, *, shortest: int, longest: int, seed: int, mask_value: float = -1.0
) -> xr.Dataset:
    """Make the adding task: the target is the sum of the two marked numbers of a sequence.

    Source: Hochreiter and Schmidhuber (1997), experiment 4. Always answering 1 has a mean squared
    error of 1/6.

    Args:
        samples: Number of sequences; the first 60 % are for training, the last 20 % for the test.
        shortest: Least length of a sequence in steps, at least 2.
        longest: Greatest length; lengths are drawn evenly.
        seed: Seed of the draw.
        mask_value: What the padding after a sequence holds, in both channels.

    Returns:
        ``x (sample, time, feature)`` float32 with the channels ``number``, from 0 to 1, and
        ``marker``, 1 at one step of each half and else 0; ``y (sample)``, ``length (sample)`` in
        steps and ``part (sample)``.

    Raises:
        ValueError: if the lengths don't fit, or there are fewer than 5 samples.

    Example:
        >>> make_adding(100, shortest=10, longest=20, seed=0)["x"].shape
        (100, 20, 2)
    """
    if not 2 <= shortest <= longest or samples < 5:
        raise ValueError(
            f"samples {samples}, shortest {shortest}, longest {longest}: there must be 5 samples "
            "or more and 2 <= shortest <= longest"
        )
    rng = np.random.default_rng(seed)
    length = rng.integers(shortest, longest + 1, samples)
    half = length // 2
    marked = np.stack([rng.integers(0, half), rng.integers(half, length)], axis=1)
    x = np.stack([rng.random((samples, longest)), np.zeros((samples, longest))], axis=-1)
    rows = np.arange(samples)[:, np.newaxis]
    x[rows, marked, 1] = 1
    y = x[rows, marked, 0].sum(axis=1)
    x[np.arange(longest) >= length[:, np.newaxis]] = mask_value
    part = np.searchsorted(np.array([0.6, 0.8]) * samples, np.arange(samples), side="right")
    return xr.Dataset(
        {
            "x": (("sample", "time", "feature"), x.astype(np.float32)),
            "y": ("sample", y.astype(np.float32)),
            "length": ("sample", length),
            "part": ("sample", part.astype(np.int8), {"long_name": f"index into {PARTS}"}),
        },
        coords={"feature": ["number", "marker"]},
        attrs={"title": "adding task", "source": "made", "target": "sum", "target_unit": "1"}
        | {"target_mean": 0.0, "target_std": 1.0},
    )
