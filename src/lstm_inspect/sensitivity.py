"""Run the model again on changed inputs: with padding, in another order, from carried states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from lstm_inspect.given import Given
from lstm_inspect.padding import Padding, usual_fill
from lstm_inspect.runs import outputs_of, states_of_zero
from lstm_states.proof.equations import TOLERANCES
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
    given: Given,
    plain: list[np.ndarray],
    *,
    stateful: bool,
    sequences: Sequence[int] = (0,),
    paddings: Mapping[int, Padding] | None = None,
) -> dict[str, Sensitivity]:
    """Run the model on changed inputs, and return how far its outputs move, by the change.

    Args:
        given: The model and its data.
        plain: Its outputs as they are.
        stateful: Whether it is run twice as well.
        sequences: The numbers of the inputs that have steps, which are padded.
        paddings: What these are padded with, by their number; any other with what is usual.
    """
    leaves = keras.tree.flatten(given.x)
    fills = {number: usual_fill(given, leaves[number]) for number in sequences}
    fills |= {number: one.fill for number, one in (paddings or {}).items()}
    found = [_padded(given, plain, fills, at_end=at_end) for at_end in (True, False)]
    found.append(_reordered(given, plain))
    if stateful:
        found.append(_repeated(given, plain))
    return {one.change: one for one in found}


def _padded(
    given: Given, plain: list[np.ndarray], fills: Mapping[int, np.ndarray], *, at_end: bool
) -> Sensitivity:
    change = AT_END if at_end else AT_START
    own = given
    inputs = getattr(given.model, "inputs", None)
    if inputs and any(inputs[number].shape[1] is not None for number in fills):
        try:
            own = replace(given, model=streaming_twin(given.model))
        except ValueError as error:
            return Sensitivity(change, None, None, _first_sentence(error))
    padded = _with_padding(own, fills, at_end=at_end)
    try:
        with states_of_zero(own.model):
            moved = outputs_of(padded)
    except Exception as error:  # what layers of any kind may raise at another length
        return Sensitivity(change, None, None, f"it can't run: {_first_sentence(error)}")
    pairs = []
    for one, other in zip(plain, moved, strict=True):
        by_step = one.ndim > 1 and other.shape[1] == one.shape[1] + PADDED_STEPS
        kept = slice(one.shape[1]) if at_end else slice(PADDED_STEPS, None)
        pairs.append((one, other[:, kept] if by_step else other))
    return _apart(given, change, pairs)


def _with_padding(given: Given, fills: Mapping[int, np.ndarray], *, at_end: bool) -> Given:
    leaves = keras.tree.flatten(given.x)
    for number, fill in fills.items():
        leaf = leaves[number]
        added = np.broadcast_to(fill, (len(leaf), PADDED_STEPS, *leaf.shape[2:]))
        leaves[number] = np.concatenate([leaf, added] if at_end else [added, leaf], 1)
    width = (0, PADDED_STEPS) if at_end else (PADDED_STEPS, 0)
    mask = None if given.mask is None else np.pad(given.mask, [(0, 0), width])
    return replace(given, x=keras.tree.pack_sequence_as(given.x, leaves), mask=mask)


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
    return _apart(given, ORDER, pairs)


def _repeated(given: Given, plain: list[np.ndarray]) -> Sensitivity:
    """Run twice over: the second run starts from what the first one left."""
    twice = given.take(np.tile(np.arange(given.samples), 2))
    with states_of_zero(given.model):
        moved = outputs_of(twice)
    pairs = [(one, other[len(one) :]) for one, other in zip(plain, moved, strict=True)]
    return _apart(given, AGAIN, pairs)


def _apart(given: Given, change: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Sensitivity:
    """Return the largest difference of outputs, and what share of their range it is.

    What rounding explains is no share: outputs that are all but constant have hardly any range.
    """
    if any(one.shape != other.shape for one, other in pairs):
        return Sensitivity(change, None, None, "the outputs have another shape then")
    precision = TOLERANCES.get(given.model.compute_dtype, TOLERANCES["float32"])
    largest, share = 0.0, 0.0
    for one, other in pairs:
        with np.errstate(invalid="ignore"):
            apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
        if not np.isfinite(apart).all():
            return Sensitivity(change, None, None, "the outputs hold NaN or infinity")
        peak, most = float(np.abs(one).max()), float(apart.max(initial=0))
        largest = max(largest, most)
        if most > precision * peak:
            share = max(share, most / (float(np.ptp(one)) or peak or 1.0))
    return Sensitivity(change, largest, share)


def _first_sentence(error: Any) -> str:
    return " ".join(str(error).split())[:200]
