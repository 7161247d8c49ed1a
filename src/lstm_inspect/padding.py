"""Find the steps of the inputs that look like padding."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from lstm_inspect.given import Given

SHORTEST = 2
"""Steps in a row that some sample must end or begin with: a single zero may be a value."""


@dataclass(frozen=True)
class Padding:
    """Which steps look like padding.

    Args:
        value: What they hold.
        real: ``(sample, time)``, false at them.
        at_start: Whether some sample begins with them.
        at_end: Whether some sample ends with them.
        named: Whether the caller's mask says so, rather than the values.
    """

    value: float
    real: np.ndarray
    at_start: bool
    at_end: bool
    named: bool = False

    @property
    def share(self) -> float:
        """The share of all steps that it takes."""
        return float(1 - self.real.mean())


def pad_value(given: Given) -> float:
    """Return what the model takes for padding: the value that a Masking layer skips, or 0."""
    layers = given.model._flatten_layers(include_self=False, recursive=True)
    masking = [layer for layer in layers if isinstance(layer, keras.layers.Masking)]
    return float(masking[0].mask_value) if masking else 0.0


def find_padding(given: Given) -> Padding | None:
    """Return the padding of the first input; None if there is none.

    Steps at the end or the start of a sample that all hold one value, in all features: the one that
    the model skips, 0, or the one that most samples end with.
    """
    x = keras.tree.flatten(given.x)[0]
    steps = x.reshape(*x.shape[:2], -1)
    if given.mask is not None:
        real = given.mask
        return _padding(pad_value(given), real, named=True) if not real.all() else None
    last = steps[:, -1][(steps[:, -1] == steps[:, -1, :1]).all(-1)][:, 0]
    values, counts = np.unique(last, return_counts=True)
    common = [float(values[counts.argmax()])] if counts.size and counts.max() > 1 else []
    for value in dict.fromkeys([pad_value(given), 0.0, *common]):
        same = (steps == value).all(-1)
        tail = np.logical_and.accumulate(same[:, ::-1], 1)[:, ::-1]
        head = np.logical_and.accumulate(same, 1)
        tail[tail.sum(1) < SHORTEST] = False
        head[head.sum(1) < SHORTEST] = False
        if (tail | head).any() and not (tail | head).all():
            return _padding(value, ~(tail | head))
    return None


def _padding(value: float, real: np.ndarray, *, named: bool = False) -> Padding:
    return Padding(value, real, bool((~real[:, 0]).any()), bool((~real[:, -1]).any()), named)
