"""The same split into batches for every competitor that takes one batch at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def each_batch(
    step: Callable[[np.ndarray], list[np.ndarray]], x: np.ndarray, batch: int
) -> list[np.ndarray]:
    """Run ``step`` on every batch of ``x`` and join what it returns."""
    parts = [step(x[start : start + batch]) for start in range(0, len(x), batch)]
    return parts[0] if len(parts) == 1 else [np.concatenate(p) for p in zip(*parts, strict=True)]
