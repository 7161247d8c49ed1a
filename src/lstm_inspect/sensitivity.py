"""Run the model again on changed inputs: with padding, in another order, from carried states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from lstm_inspect.given import Given
from lstm_inspect.padding import pad_value
from lstm_inspect.runs import outputs_of, states_of_zero
from lstm_states.twins import streaming_twin

PADDED_STEPS = 5
"""Steps of padding that are added: few, since what they change is a matter of one already."""

AT_END = f"{PADDED_STEPS} steps of padding at the end"
AT_START = f"{PADDED_STEPS} steps of padding at the start"
ORDER = "the samples in another order, in other batches"
AGAIN = "a second run, without a reset between"


@dataclass(frozen=True)
class Sensitivity:
    """How far outputs move if something changes that should not matter.

    Args:
        change: What changed.
        largest: The largest difference of an output; None if it wasn't measured.
        share: That difference as a share of the range of the outputs.
        why: Why it wasn't measured.
    """

    change: str
    largest: float | None
    share: float | None
    why: str = ""


def measure_sensitivity(
    given: Given, plain: list[np.ndarray], *, stateful: bool
) -> dict[str, Sensitivity]:
    """Run the model on changed inputs, and return how far its outputs move, by the change.

    Args:
        given: The model and its data.
        plain: Its outputs as they are.
        stateful: Whether it is run twice as well.
    """
    found = [_padded(given, plain, at_end=True), _padded(given, plain, at_end=False)]
    found.append(_reordered(given, plain))
    if stateful:
        found.append(_repeated(given, plain))
    return {one.change: one for one in found}


def _padded(given: Given, plain: list[np.ndarray], *, at_end: bool) -> Sensitivity:
    change = AT_END if at_end else AT_START
    leaves = keras.tree.flatten(given.x)
    steps = leaves[0].shape[1]
    if len({leaf.shape[1] for leaf in leaves}) > 1:
        return Sensitivity(change, None, None, "the inputs have different numbers of steps")
    own = given
    fixed = [spec.shape[1] for spec in getattr(given.model, "inputs", None) or ()]
    if any(size is not None for size in fixed):
        try:
            own = replace(given, model=streaming_twin(given.model))
        except ValueError as error:
            return Sensitivity(change, None, None, _first_sentence(error))
    padded = _with_padding(own, at_end=at_end)
    try:
        with states_of_zero(own.model):
            moved = outputs_of(padded)
    except Exception as error:  # what layers of any kind may raise at another length
        return Sensitivity(change, None, None, f"it can't run: {_first_sentence(error)}")
    kept = slice(steps) if at_end else slice(PADDED_STEPS, None)
    pairs = []
    for one, other in zip(plain, moved, strict=True):
        by_step = other.ndim > 1 and other.shape[1] == steps + PADDED_STEPS
        pairs.append((one, other[:, kept] if by_step else other))
    return _apart(change, pairs)


def _with_padding(given: Given, *, at_end: bool) -> Given:
    width = (0, PADDED_STEPS) if at_end else (PADDED_STEPS, 0)
    value = pad_value(given)

    def padded(leaf: np.ndarray) -> np.ndarray:
        axes = [(0, 0), width, *[(0, 0)] * (leaf.ndim - 2)]
        return np.pad(leaf, axes, constant_values=np.asarray(value).astype(leaf.dtype))

    mask = None if given.mask is None else np.pad(given.mask, [(0, 0), width])
    return replace(given, x=keras.tree.map_structure(padded, given.x), mask=mask)


def _reordered(given: Given, plain: list[np.ndarray]) -> Sensitivity:
    """Evens, then odds: the same samples in other places, beside others, in other batches."""
    order = np.r_[0 : given.samples : 2, 1 : given.samples : 2]
    if given.samples < 3:
        return Sensitivity(ORDER, None, None, f"{given.samples} samples have no other order")
    with states_of_zero(given.model):
        moved = outputs_of(given.take(order), batch_size=-(-given.samples // 2))
    back = np.argsort(order)
    pairs = [
        (one, other[back] if len(other) == given.samples else other)
        for one, other in zip(plain, moved, strict=True)
    ]
    return _apart(ORDER, pairs)


def _repeated(given: Given, plain: list[np.ndarray]) -> Sensitivity:
    """Run twice over: the second run starts from what the first one left."""
    twice = given.take(np.tile(np.arange(given.samples), 2))
    with states_of_zero(given.model):
        moved = outputs_of(twice)
    return _apart(
        AGAIN, [(one, other[len(one) :]) for one, other in zip(plain, moved, strict=True)]
    )


def _apart(change: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Sensitivity:
    """Return the largest difference of outputs, and what share of their range it is."""
    if any(one.shape != other.shape for one, other in pairs):
        return Sensitivity(change, None, None, "the outputs have another shape then")
    largest, share = 0.0, 0.0
    for one, other in pairs:
        with np.errstate(invalid="ignore"):
            apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
        if not np.isfinite(apart).all():
            return Sensitivity(change, None, None, "the outputs hold NaN or infinity")
        width = float(np.ptp(one)) or float(np.abs(one).max()) or 1.0
        largest = max(largest, float(apart.max(initial=0)))
        share = max(share, float(apart.max(initial=0)) / width)
    return Sensitivity(change, largest, share)


def _first_sentence(error: Any) -> str:
    return " ".join(str(error).split())[:200]
