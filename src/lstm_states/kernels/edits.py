"""Edits of a cell's quantities on their way into the kernels: where, and what is done there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from lstm_states.cells import INPUTS
from lstm_states.cells.kind import Values
from lstm_states.kernels.slots import spread, take_slots


@dataclass(frozen=True)
class CellEdit:
    """An edit of one quantity of a cell.

    ``change(value, before, *operands)`` makes the new value of all units ``(batch, unit)`` from the
    value, from the one that the quantity had at the step before, and from the operands. ``where
    (time, batch)`` says at which steps it counts, and ``units``, which broadcasts to ``(unit,)``,
    for which units. The operands are ``(time, batch, ...)``, each axis of full size or 1.
    """

    quantity: str
    change: Callable[..., Any]
    where: tf.Tensor
    units: tf.Tensor
    operands: tuple[tf.Tensor, ...] = ()

    def in_order(self, *, backwards: bool) -> CellEdit:
        """Return the edit for steps in the order in which they are taken."""
        if not backwards:
            return self
        turned = [v if v.shape[0] == 1 else tf.reverse(v, [0]) for v in self.operands]
        return replace(self, where=tf.reverse(self.where, [0]), operands=tuple(turned))

    def rows(self, rows: slice) -> CellEdit:
        """Return the edit for some of the samples."""
        own = [v if v.shape[1] == 1 else v[:, rows] for v in self.operands]
        return replace(self, where=self.where[:, rows], operands=tuple(own))

    def steps(self, number: int) -> Values:
        """Return what differs from step to step, by a name of its own."""
        timed = {f"edit_{number}_{k}": v for k, v in enumerate(self.operands) if v.shape[0] != 1}
        return {f"edit_{number}": self.where, **timed}

    def apply(self, number: int, now: Values, value: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        """Return the edited ``value (batch, unit)`` of a step, of which ``now`` holds ``steps``."""
        names = [f"edit_{number}_{k}" for k in range(len(self.operands))]
        given = [now.get(n, v[0]) for n, v in zip(names, self.operands, strict=True)]
        changed = tf.cast(self.change(value, before, *given), value.dtype)
        where = spread(now[f"edit_{number}"], value)
        return tf.where(where & self.units, changed, value)


def hold(value: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """The change of an edit that keeps what the step before had."""
    return before


def edit_inputs(steps: tf.Tensor, real: tf.Tensor | None, edits: Iterable[CellEdit]) -> tf.Tensor:
    """Return what a cell is given, ``steps (time, batch, ...)``, with the ``edits`` of it.

    Args:
        steps: In the order in which they are taken.
        real: Bool ``(time, batch)``, true where the step is real; None if all are.
        edits: All edits of the cell.
    """
    own = [edit for edit in edits if edit.quantity == INPUTS]
    if own and not steps.dtype.is_floating:
        steps = tf.cast(steps, own[0].operands[0].dtype if own[0].operands else tf.float32)
    for edit in own:
        before = steps
        if edit.change is hold:  # of the last real step that isn't edited itself
            kept = ~edit.where if real is None else ~edit.where & real
            number = tf.range(tf.shape(steps)[0])[:, tf.newaxis]
            last = tf.scan(tf.maximum, tf.where(kept, number, -1))
            before = take_slots(steps, last)
        changed = tf.cast(edit.change(steps, before, *edit.operands), steps.dtype)
        steps = tf.where(spread(edit.where, steps) & edit.units, changed, steps)
    return steps
