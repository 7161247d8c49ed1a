"""Find the steps of the inputs that look like padding."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from lstm_inspect.given import Given

SHORTEST = 2
"""Steps of zeros in a row that a sample must end or begin with: a single zero may be a value."""

REPEATED = 3
"""Steps of another kind in a row: a text may end with a letter twice, but hardly three times."""


@dataclass(frozen=True)
class Padding:
    """Which steps look like padding.

    Args:
        value: What they hold; None if their features differ, as of a character for padding.
        real: ``(sample, time)``, false at them.
        at_start: Whether some sample begins with them.
        at_end: Whether some sample ends with them.
        named: Whether the caller's mask says so, rather than the values.
    """

    value: float | None
    real: np.ndarray
    at_start: bool
    at_end: bool
    named: bool = False

    @property
    def told(self) -> str:
        """What they hold, in words."""
        return "always the same step" if self.value is None else f"value {self.value:g}"

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

    These are steps at the end or the start of a sample that are all alike: of the value that the
    model skips, of zeros, or like the step that most samples end with.
    """
    x = keras.tree.flatten(given.x)[0]
    steps = x.reshape(*x.shape[:2], -1)
    if given.mask is not None:
        real = given.mask
        return _padding(pad_value(given), real, named=True) if not real.all() else None
    rows, counts = np.unique(steps[:, -1], axis=0, return_counts=True)
    common = rows[counts.argmax()]
    fills = [np.full_like(common, pad_value(given)), np.zeros_like(common)]
    for fill, least in [*((one, SHORTEST) for one in fills), (common, REPEATED)]:
        same = (steps == fill).all(-1)
        tail = np.logical_and.accumulate(same[:, ::-1], 1)[:, ::-1]
        head = np.logical_and.accumulate(same, 1)
        tail[tail.sum(1) < least] = False
        head[head.sum(1) < least] = False
        # One sample alone may well end at rest.
        if least == REPEATED and (tail.any(1).sum() < 2 or len(np.unique(tail.sum(1))) < 2):
            continue
        if (tail | head).any() and not (tail | head).all():
            value = float(fill[0]) if (fill == fill[0]).all() else None
            return _padding(value, ~(tail | head))
    return None


def _padding(value: float | None, real: np.ndarray, *, named: bool = False) -> Padding:
    return Padding(value, real, bool((~real[:, 0]).any()), bool((~real[:, -1]).any()), named)
