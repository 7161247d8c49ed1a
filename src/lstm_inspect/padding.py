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

INSIDE = 0.1
"""Padding stands at an end. If for ten samples that end so, one has such steps between others, what
they hold is a value."""

ALIKE = 0.3
"""Nor are as many samples padded at the start as at the end, if single such steps are values."""


@dataclass(frozen=True)
class Padding:
    """Which steps look like padding.

    Args:
        fill: What such a step holds.
        real: ``(sample, time)``, false at them.
        at_start: Whether some sample begins with them.
        at_end: Whether some sample ends with them.
        named: Whether the caller's mask says so, rather than the values.
    """

    fill: np.ndarray
    real: np.ndarray
    at_start: bool
    at_end: bool
    named: bool = False

    @property
    def value(self) -> float | None:
        """What they hold; None if their features differ, as of a character for padding."""
        return float(self.fill.flat[0]) if (self.fill == self.fill.flat[0]).all() else None

    @property
    def told(self) -> str:
        """What they hold, in words."""
        return "always the same step" if self.value is None else f"value {self.value:g}"

    @property
    def share(self) -> float:
        """The share of all steps that it takes."""
        return float(1 - self.real.mean())


def skipped_values(model: keras.Model) -> list[float]:
    """Return the values that layers of a model skip: Masking, or Embedding with mask_zero."""
    layers = model._flatten_layers(include_self=False, recursive=True)
    masking = [one.mask_value for one in layers if isinstance(one, keras.layers.Masking)]
    zero = [0.0 for one in layers if isinstance(one, keras.layers.Embedding) and one.mask_zero]
    return [float(value) for value in (*masking, *zero)]


def usual_fill(given: Given, x: np.ndarray) -> np.ndarray:
    """Return a step of what the model skips, or of zeros."""
    value = next(iter(skipped_values(given.model)), 0.0)
    return np.full(x.shape[2:], value).astype(x.dtype)


def find_padding(given: Given, number: int = 0) -> Padding | None:
    """Return the padding of one of the inputs; None if there is none.

    These are steps at the end or the start of a sample that are all alike: of the value that the
    model skips, of zeros, or like the step that most samples end or begin with.
    """
    x = keras.tree.flatten(given.x)[number]
    if given.mask is not None:
        real = given.mask
        return None if real.all() else _padding(usual_fill(given, x), real, named=True)
    steps = x.reshape(*x.shape[:2], -1)
    skipped = skipped_values(given.model)
    fills = [np.full_like(steps[0, 0], value) for value in (*skipped, 0)]
    common = [_commonest(steps[:, -1]), _commonest(steps[:, 0])]
    tried = [*((one, SHORTEST) for one in fills), *((one, REPEATED) for one in common)]
    for place, (fill, least) in enumerate(tried):
        same = (steps == fill).all(-1)
        head, tail = _runs_at_ends(same)
        at_start, at_end = head.sum(1) >= least, tail.sum(1) >= least
        if place >= len(skipped) and _is_value(same, head, tail, least):
            continue
        if least == REPEATED:  # a single one at an end may well be a value
            head[~at_start] = False
            tail[~at_end] = False
            lengths = (head | tail).sum(1)
            # One sample alone may well end at rest.
            if (lengths > 0).sum() < 2 or len(np.unique(lengths)) < 2:
                continue
        if (at_start | at_end).any() and not (head | tail).all():
            return _padding(fill.reshape(x.shape[2:]), ~(head | tail))
    return None


def _commonest(rows: np.ndarray) -> np.ndarray:
    found, counts = np.unique(rows, axis=0, return_counts=True)
    row: np.ndarray = found[counts.argmax()]
    return row


def _runs_at_ends(same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which steps belong to a run at the start of a sample, and at its end."""
    head = np.logical_and.accumulate(same, 1)
    tail = np.logical_and.accumulate(same[:, ::-1], 1)[:, ::-1]
    return head, tail


def _is_value(same: np.ndarray, head: np.ndarray, tail: np.ndarray, least: int) -> bool:
    """Tell whether steps that samples end with stand between other steps as well."""
    inner = same & ~head & ~tail
    long = inner[:, least - 1 :]
    for back in range(1, least):
        long = long & inner[:, least - 1 - back : inner.shape[1] - back]
    part = ~same.all(1)
    starts, ends = ((side.sum(1) >= least) & part for side in (head, tail))
    few, many = sorted((int(starts.sum()), int(ends.sum())))
    if long.any(1).sum() > INSIDE * (starts | ends).sum():
        return True
    return bool(inner.any() and few > ALIKE * many)


def _padding(fill: np.ndarray, real: np.ndarray, *, named: bool = False) -> Padding:
    return Padding(fill, real, bool((~real[:, 0]).any()), bool((~real[:, -1]).any()), named)
