"""The measurement of `example`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def half_lives(keep: float, seeds: Iterable[int]) -> dict[str, int]:
    """Return by seed the steps after which half of a change of a state is gone.

    Args:
        keep: The share of the state that is left after a step.
        seeds: Each draws inputs of its own.
    """
    return {f"seed {seed}": _half_life(keep, seed) for seed in seeds}


def _half_life(keep: float, seed: int) -> int:
    rng = np.random.default_rng(seed)
    states, steps = np.array([0.0, 1.0]), 0
    while states[1] - states[0] >= 0.5:
        states = keep * states + rng.normal()
        steps += 1
    return steps
