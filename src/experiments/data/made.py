"""Synthetic tasks with a known answer, on which `memory` and `depth` train."""

from __future__ import annotations

import numpy as np
import xarray as xr

from experiments.data.schema import PARTS


def make_adding(samples: int, *, shortest: int, longest: int, seed: int) -> xr.Dataset:
    """Draw the adding task: the target is the sum of the two marked numbers of a sequence.

    Source: Hochreiter and Schmidhuber (1997), experiment 4. The constant answer 1 has a mean
    squared error of 1/6.

    Args:
        samples: Number of sequences; the first 60 % are for training, the last 20 % for the test.
        shortest: Least length of a sequence in steps, at least 2.
        longest: Greatest length; lengths are drawn evenly.
        seed: Seed of the draw.

    Returns:
        ``x (sample, time, feature)`` float32 with the channels ``number``, from 0 to 1, and
        ``marker``, 1 at one step of each half and else 0, both -1 after the sequence; ``y
        (sample)``, ``length (sample)`` in steps and ``part (sample)``.

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
    x[np.arange(longest) >= length[:, np.newaxis]] = -1
    task = _made("adding task", x, y, target="sum", features=["number", "marker"])
    return task.assign(length=("sample", length))


def make_regimes(
    samples: int, *, steps: int, seed: int, slope: float = 0.9, stay: float = 25.0
) -> xr.Dataset:
    """Draw series that switch between two hidden regimes; the target is the next value.

    Each value is ``slope`` times the one before plus noise, or ``-slope`` times it in the other
    regime: an autoregression that switches (Hamilton 1989). Values have mean 0 and variance 1 in
    both regimes, which are equally frequent, so any weighted sum of values has the same mean in
    both; the product of neighbours has not.

    Args:
        samples: Number of series; the first 60 % are for training, the last 20 % for the test.
        steps: Length of a series, at least 2.
        seed: Seed of the draw.
        slope: Size of the regression's coefficient, between 0 and 1.
        stay: Mean number of steps before the regime switches, more than 1.

    Returns:
        ``x (sample, time, feature)`` float32 with the one channel ``value``; ``y (sample, time)``,
        the value one step later; ``regime (sample, time)``, 0 or 1, the regime that the value at
        that step was drawn in; and ``part (sample)``.

    Raises:
        ValueError: if a size or a number is out of its range.

    Example:
        >>> make_regimes(100, steps=40, seed=0)["regime"].shape
        (100, 40)
    """
    if samples < 5 or steps < 2 or not 0 < slope < 1 or not stay > 1:
        raise ValueError(
            f"samples {samples}, steps {steps}, slope {slope}, stay {stay}: there must be 5 "
            "samples or more, 2 steps or more, 0 < slope < 1 and stay > 1"
        )
    rng = np.random.default_rng(seed)
    switches = rng.random((samples, steps + 1)) < 1 / stay
    switches[:, 0] = rng.random(samples) < 0.5
    regime = switches.cumsum(axis=1) % 2
    values = rng.normal(size=(samples, steps + 1))
    values[:, 1:] *= np.sqrt(1 - slope**2)
    for step in range(1, steps + 1):
        values[:, step] += slope * (1 - 2 * regime[:, step]) * values[:, step - 1]
    x, y = values[:, :-1, np.newaxis], values[:, 1:]
    task = _made("hidden regimes", x, y, target="next value", features=["value"])
    return task.assign(regime=(("sample", "time"), regime[:, :-1].astype(np.int8)))


def make_means(samples: int, *, steps: int, first: int, width: int, seed: int) -> xr.Dataset:
    """Draw noise whose target is the mean of a few neighbouring values.

    Args:
        samples: Number of sequences; the first 60 % are for training, the last 20 % for the test.
        steps: Length of a sequence.
        first: Step of the first value that counts, from 0.
        width: Values that count; the mean is scaled to variance 1.
        seed: Seed of the draw.

    Returns:
        ``x (sample, time, feature)`` float32, normal with variance 1 in the one channel ``value``,
        ``y (sample)`` and ``part (sample)``.

    Raises:
        ValueError: if the values that count don't lie within the steps, or there are fewer than 5
            samples.

    Example:
        >>> make_means(100, steps=50, first=0, width=10, seed=0)["y"].shape
        (100,)
    """
    if samples < 5 or first < 0 or width < 1 or first + width > steps:
        raise ValueError(
            f"samples {samples}, first {first}, width {width}, steps {steps}: there must be 5 "
            "samples or more, 0 <= first, 1 <= width and first + width <= steps"
        )
    x = np.random.default_rng(seed).normal(size=(samples, steps, 1))
    y = x[:, first : first + width, 0].mean(axis=1) * np.sqrt(width)
    return _made("mean of a few values", x, y, target="scaled mean", features=["value"])


def make_neighbours(samples: int, *, steps: int, lag: int, seed: int) -> xr.Dataset:
    """Make random bits, each step labelled with the bit of another step.

    Args:
        samples: Number of sequences; the first 60 % are for training, the last 20 % for the test.
        steps: Length of a sequence, more than the size of ``lag``.
        lag: The label is the bit so many steps earlier; below 0 it is one that comes later.
        seed: Seed of the draw.

    Returns:
        ``x (sample, time, feature)`` float32, 0 or 1 in the one channel ``bit``; ``y (sample,
        time)``, where the other step lies outside of the sequence a bit that is not in ``x``; and
        ``part (sample)``.

    Raises:
        ValueError: if a size is out of its range.

    Example:
        >>> make_neighbours(100, steps=20, lag=1, seed=0)["y"].shape
        (100, 20)
    """
    if samples < 5 or steps <= abs(lag):
        raise ValueError(
            f"samples {samples}, steps {steps}, lag {lag}: there must be 5 samples or more, and "
            "more steps than the size of lag"
        )
    reach = abs(lag)
    bits = np.random.default_rng(seed).integers(0, 2, (samples, steps + 2 * reach))
    x = bits[:, reach : reach + steps, np.newaxis]
    y = bits[:, reach - lag : reach - lag + steps]
    return _made("labelled bits", x, y, target=f"bit at lag {lag}", features=["bit"])


def _made(
    title: str, x: np.ndarray, y: np.ndarray, *, target: str, features: list[str]
) -> xr.Dataset:
    """Return a made task as a Dataset, with the index of each sample's part."""
    samples = len(x)
    part = np.searchsorted(np.array([0.6, 0.8]) * samples, np.arange(samples), side="right")
    return xr.Dataset(
        {
            "x": (("sample", "time", "feature"), x.astype(np.float32)),
            "y": (("sample", "time")[: y.ndim], y.astype(np.float32)),
            "part": ("sample", part.astype(np.int8), {"long_name": f"index into {PARTS}"}),
        },
        coords={"feature": features},
        attrs={"title": title, "source": "made", "target": target, "target_unit": "1"}
        | {"target_mean": 0.0, "target_std": 1.0},
    )
