"""What a process of its own is asked to do in tests: plain memory in place of a training."""

import numpy as np

PER_STEP = 100_000
"""Bytes that back-propagation needs of a step."""


def _needed(steps):
    return np.ones(steps * PER_STEP, np.uint8)


def gives_back(steps, piece, batch_size):
    """What a piece needs is given back before the next one."""

    def run():
        for _ in range(0, steps, piece):
            _needed(piece)

    return run


def keeps_everything(steps, piece, batch_size):
    """In pieces, but nothing is given back before the end."""

    def run():
        return [_needed(piece) for _ in range(0, steps, piece)]

    return run


def fails(steps, piece, batch_size):
    """Never gets to run."""
    raise ValueError(f"{steps} steps are too many")
