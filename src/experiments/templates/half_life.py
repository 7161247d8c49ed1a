"""The measurement of `example`."""

from __future__ import annotations

import numpy as np


def half_life(keep: float, seed: int) -> int:
    """Return the steps after which half of a change of a state is gone.

    Args:
        keep: The share of the state that is left after a step.
        seed: Seed of the inputs.
    """
    rng = np.random.default_rng(seed)
    states, steps = np.array([0.0, 1.0]), 0
    while states[1] - states[0] >= 0.5:
        states = keep * states + rng.normal()
        steps += 1
    return steps
