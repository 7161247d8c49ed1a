"""Encodings of missing values: a number in their place, an indicator, or nothing.

Each encoding receives ``x (sample, time, feature)``, standardised, and ``observed`` of the same
shape, and ignores values that are not observed. Each returns ``(sample, time, 3 * feature)``: a
value, an indicator and an elapsed time for each feature, or zeros. In this way, the same stack with
the same number of weights can read all encodings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Encoding = Callable[[np.ndarray, np.ndarray], np.ndarray]

SENTINEL = -6.0
"""Below all values: these are cut off at 5 standard deviations."""

MASK_VALUE = -9.0
"""Where all columns of a step hold it, the stack's ``Masking`` skips the step."""


def zero(x: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Put 0 for what is missing, which after scaling is the feature's mean."""
    return _columns(np.where(observed, x, 0))


def sentinel(x: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Put a number that no value has."""
    return _columns(np.where(observed, x, SENTINEL))


def last_value(x: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Carry the last value forward; 0 before the first."""
    return _columns(_carried(x, observed))


def zero_indicator(x: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Put 0, and say 1 beside it."""
    return _columns(np.where(observed, x, 0), ~observed)


def last_value_indicator_elapsed(x: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Carry the last value forward, say 1 beside it, and how long ago it was seen.

    The inputs of GRU-D (Che et al. 2018) without its decay: ``log(1 + steps)`` since the last
    value, counted from before the window where there was none.
    """
    steps = np.arange(x.shape[1])[:, np.newaxis]
    elapsed = steps - _last_seen(observed)
    return _columns(_carried(x, observed), ~observed, np.log1p(elapsed))


def masked(x: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Mark steps of which nothing is there, so that they are skipped; put 0 elsewhere."""
    empty = ~observed.any(axis=-1, keepdims=True)
    return np.where(empty, np.float32(MASK_VALUE), zero(x, observed))


FOR_NUMBERS: dict[str, Encoding] = {
    "0": zero,
    "sentinel": sentinel,
    "last value": last_value,
    "0, indicator": zero_indicator,
    "last value, indicator, elapsed time": last_value_indicator_elapsed,
}
"""Encodings of single numbers, by name; what the claim is about comes first."""

FOR_STEPS = {**FOR_NUMBERS, "masked": masked}
"""Encodings of steps that are missing as a whole, by name."""


def _last_seen(observed: np.ndarray) -> np.ndarray:
    """Return the step at which each feature was last seen, itself included; -1 for never."""
    steps = np.arange(observed.shape[1])[:, np.newaxis]
    return np.maximum.accumulate(np.where(observed, steps, -1), axis=1)


def _carried(x: np.ndarray, observed: np.ndarray) -> np.ndarray:
    last = _last_seen(observed)
    return np.where(last < 0, 0, np.take_along_axis(x, np.maximum(last, 0), axis=1))


def _columns(
    values: np.ndarray, indicator: np.ndarray | None = None, elapsed: np.ndarray | None = None
) -> np.ndarray:
    nothing = np.zeros_like(values)
    parts = [nothing if part is None else part for part in (values, indicator, elapsed)]
    return np.concatenate(parts, axis=-1, dtype=np.float32, casting="unsafe")


def encode(
    x: np.ndarray, observed: np.ndarray, encodings: Mapping[str, Encoding]
) -> dict[str, np.ndarray]:
    """Encode the same windows in each way.

    Args:
        x: ``(sample, time, feature)``.
        observed: Of the same shape, true where a number is there.
        encodings: By name.

    Returns:
        By name, ``(sample, time, 3 * feature)``.

    Raises:
        ValueError: if the two shapes differ.
    """
    if x.shape != observed.shape:
        raise ValueError(f"x has shape {x.shape}, observed {observed.shape}; they must be equal")
    return {name: encoding(x, observed) for name, encoding in encodings.items()}
