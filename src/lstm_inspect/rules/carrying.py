"""What carries over from batch to batch and from step to step, and in which order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lstm_inspect.evidence import Evidence
from lstm_inspect.findings import Finding, others_too
from lstm_inspect.sensitivity import AGAIN, ORDER
from lstm_inspect.wiring import last_step_of

JUMP = 3.0
"""A batch continues the one before if it begins no further from its end than a few usual steps."""

MOVED = 1e-4
"""Outputs that differ by more of their range differ by more than other kernels round."""


def batches_that_do_not_fit(seen: Evidence) -> Iterator[Finding]:
    """A model built for one batch size, and samples that fill no last batch."""
    slots = seen.whole.slots
    rest = seen.whole.samples % slots if slots else 0
    if not rest:
        return
    yield Finding(
        "risk", "batches_that_do_not_fit", "model",
        f"It is built for batches of {slots}; {seen.whole.samples} samples leave {rest} over, "
        "which this report leaves out.",
        "Choose samples that fill whole batches, or copy the model for another batch size.",
        "What happens to a last short batch?",
    )  # fmt: skip


def no_continuation(seen: Evidence) -> Iterator[Finding]:
    """A stateful layer whose batches don't continue the ones before."""
    stateful = _stateful(seen)
    slots = seen.given.slots or seen.given.samples
    x = seen.sequence
    if not stateful or len(x) < 2 * slots or x.shape[1] < 2:
        return
    advice = (
        f"Arrange the series with make_stateful_batches(series, slots={slots}, steps="
        f"{x.shape[1]}), or use a model that isn't stateful."
    )
    rows = x.reshape(*x.shape[:2], -1)
    before, after = rows[:-slots], rows[slots:]
    if shift := _overlap(before, after):
        yield Finding(
            "wrong", "no_continuation", stateful[0],
            f"Each batch repeats the last {shift} steps of the batch before, so its state has "
            "read them twice.",
            advice, "When should you use `stateful`?",
        )  # fmt: skip
        return
    if x.dtype.kind in "iu":  # numbers of words are no distances
        return
    rows = rows.astype(np.float64)
    inside = _typical(np.diff(rows, axis=1))
    jump = _typical(rows[slots:, 0] - rows[:-slots, -1])
    if not _do_jump(jump, inside):
        return
    most = int(np.argmax(jump / np.where(inside > 0, inside, np.inf)))
    case = (
        f"Row i of a batch does not continue row i of the batch before: the inputs jump by "
        f"{jump[most]:.2g} there, and by {inside[most]:.2g} from step to step."
    )
    if slots > 1 and not _do_jump(_typical(rows[1:, 0] - rows[:-1, -1]), inside):
        case += " Each sample continues the one before it in the same batch instead."
    yield Finding(
        "wrong", "no_continuation", stateful[0], case, advice,
        "How is the batch size related to statefulness?",
    )  # fmt: skip


def _stateful(seen: Evidence) -> list[str]:
    return [address for address, place in seen.places.items() if place.layer.stateful]


def _overlap(before: np.ndarray, after: np.ndarray) -> int:
    """Return how many last steps of each batch the next one begins with; 0 if none."""
    steps = before.shape[1]
    for shared in range(steps - 1, 0, -1):
        ends = before[:, -shared:]
        if np.array_equal(ends, after[:, :shared]) and (ends != ends[:, :1]).any():
            return shared
    return 0


def _typical(moves: np.ndarray) -> np.ndarray:
    """Return the median length of moves for each feature, along the last axis."""
    lengths: np.ndarray = np.median(np.abs(moves).reshape(-1, moves.shape[-1]), axis=0)
    return lengths


def _do_jump(jump: np.ndarray, inside: np.ndarray) -> bool:
    """Tell whether most features that move jump: a single one may, such as the hour at midnight."""
    moving = inside > 0
    return bool(2 * (jump > JUMP * inside)[moving].sum() > moving.sum())


def stateful_needs_order(seen: Evidence) -> Iterator[Finding]:
    """A stateful layer: fit shuffles by default, and each run goes on from the one before."""
    stateful = _stateful(seen)
    if not stateful:
        return
    again = seen.sensitivity[AGAIN]
    told = (
        f"a second run over the same data gives outputs that are up to {again.largest:.2g} apart"
        if again.largest is not None
        else "each run starts from what the one before has left"
    )
    yield Finding(
        "risk", "stateful_needs_order", stateful[0],
        f"It is stateful: {told}, and fit shuffles batches unless told not to.",
        "Train with shuffle=False and the callback ResetStates(); predict within "
        "kept_states(model) or after reset_states(model).",
        "Do `evaluate` and `predict` move the state?",
    )  # fmt: skip


def order_moves_outputs(seen: Evidence) -> Iterator[Finding]:
    """Outputs of a sample that depend on the samples beside or before it."""
    moved = seen.sensitivity[ORDER]
    if moved.share is None or moved.share <= MOVED:
        return
    if _stateful(seen):
        yield Finding(
            "risk", "order_moves_outputs", _stateful(seen)[0],
            f"With the samples in another order, outputs move by up to {moved.largest:.2g} "
            f"({moved.share:.0%} of their range), since states carry over.",
            "Keep the order of the series in every run, or use stateless_twin(model).",
            "How is the batch size related to statefulness?",
        )  # fmt: skip
    else:
        yield Finding(
            "wrong", "order_moves_outputs", "model",
            f"No layer is stateful, but the output of a sample moves by up to {moved.largest:.2g} "
            f"({moved.share:.0%} of the range) with the samples beside it in its batch.",
            "Look for a layer that mixes the axis of samples, such as a reshape or a mean over "
            "axis 0, or that draws at random in use, such as Dropout called with training=True.",
        )  # fmt: skip


def reversed_outputs(seen: Evidence) -> Iterator[Finding]:
    """A layer that goes backwards and hands its steps on from the last to the first."""
    for address, place in seen.places.items():
        if place.wrapper is None and place.layer.go_backwards and place.layer.return_sequences:
            steps = seen.nodes[address].sizes["time"]
            yield Finding(
                "risk", "reversed_outputs", address,
                f"It goes backwards and hands on {steps} steps in reversed order: the first output "
                "is that of the last input.",
                "Flip its output along time, or use Bidirectional, which does.",
                "Which states does a bidirectional layer return?",
            )  # fmt: skip


def last_step_of_both(seen: Evidence) -> Iterator[Finding]:
    """The last step of a Bidirectional, whose backward half has read one step there."""
    done: list[int] = []
    for address, place in seen.places.items():
        wrapper = place.wrapper
        if wrapper is None or id(wrapper) in done or not wrapper.return_sequences:
            continue
        done.append(id(wrapper))
        if last_step_of(seen.given.model, wrapper):
            yield Finding(
                "wrong", "last_step_of_both", address,
                "The model takes the last step of this Bidirectional, where its backward half has "
                f"read 1 of {seen.nodes[address].sizes['time']} steps.",
                "Use return_sequences=False, which takes the backward half at the first step.",
                "Which states does a bidirectional layer return?",
            )  # fmt: skip


def backward_reads_padding(seen: Evidence) -> Iterator[Finding]:
    """A backward layer that begins with padding, which no mask skips."""
    read: dict[str, int] = {}
    for address, place in seen.places.items():
        real = seen.real_steps(address)
        if real is None or real[:, -1].all() or not place.layer.go_backwards:
            continue
        steps = seen.nodes[address]["mask"].values & ~real
        read[address] = int(np.logical_and.accumulate(steps[:, ::-1], 1).sum(1).max())
    layers = [address for address, most in read.items() if most]
    if layers:
        yield Finding(
            "risk", "backward_reads_padding", layers[0],
            f"It reads from the end, and so up to {read[layers[0]]} steps of padding before the "
            f"first real one.{others_too(layers)}",
            "Let a mask reach it; padding at the end is the start for this layer.",
            "Which states does a bidirectional layer return?",
        )  # fmt: skip


def recurrent_dropout(seen: Evidence) -> Iterator[Finding]:
    """A layer that training can't run on a fused kernel."""
    for address, place in seen.places.items():
        rate = getattr(place.layer, "recurrent_dropout", 0)
        if rate:
            yield Finding(
                "note", "recurrent_dropout", address,
                f"It has recurrent_dropout={rate:g}, with which training runs step by step.",
                "If training is too slow, use dropout between the layers instead.",
                "Why is `recurrent_dropout` slow?",
            )  # fmt: skip


RULES = (
    batches_that_do_not_fit,
    no_continuation,
    stateful_needs_order,
    order_moves_outputs,
    reversed_outputs,
    last_step_of_both,
    backward_reads_padding,
    recurrent_dropout,
)
