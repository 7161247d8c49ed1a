"""Edits of a stream, whose steps come one by one or a few at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstm_states.cells import KINDS, is_start
from lstm_states.traces.cell_trace import CellTrace
from lstm_states.traces.edit import Edit
from lstm_states.traces.edit_plans import CellPlan, Part, check_edits, plan_edits
from lstm_states.traces.recorder import Recorder
from lstm_states.traces.traced_layers import TracedLayer

STATES = {name for kind in KINDS.values() for name in kind.states}
"""What cells carry from step to step, so that a session has it."""


class StreamEdits:
    """The edits of a session, told for each piece with the steps counted from its start.

    A piece without an edited step runs as if there were no edits.

    Args:
        edits: What the user asks for, with steps counted from the start of the session.
        traced: All recurrent layers by address.
        samples: How many parallel sequences there are.

    Raises:
        ValueError: if an edit doesn't fit the model, or can't be known step by step.
    """

    def __init__(
        self, edits: Sequence[Edit], traced: Mapping[str, TracedLayer], samples: int
    ) -> None:
        self.edits = check_edits(edits)
        self._traced, self._samples = traced, samples
        self._plans: dict[tuple, list[CellPlan]] = {}
        whole = [replace(edit, time=None) for edit in self.edits]
        plans = plan_edits(whole, traced, samples)
        self._cells: dict[Edit, list[str]] = {}
        for edit, one in zip(self.edits, whole, strict=True):
            self._cells[edit] = [plan.address for plan in plans if plan.edit is one]
            _check_streamed(edit)
        for plan in plans:
            if plan.by_step:
                raise ValueError(
                    f"{plan.edit}: {plan.edit.action} has steps, of which a session doesn't know "
                    "the number; give each step an edit of its own"
                )

    def recorder(self, recorder: Recorder, first: int, steps: int) -> Recorder:
        """Return ``recorder`` with the edits of the ``steps`` that follow the ``first`` ones."""
        chosen = tuple(_within(edit, first, steps) for edit in self.edits)
        if not any(chosen):
            return recorder
        if chosen not in self._plans:
            own = [
                replace(edit, time=None if len(time) == steps else time)
                for edit, time in zip(self.edits, chosen, strict=True)
                if time
            ]
            self._plans = {chosen: plan_edits(own, self._traced, self._samples)}
        return replace(recorder, plans=self._plans[chosen], touched=[])

    def moved(self, cells: Mapping[str, str]) -> list[Edit]:
        """Return the edits for another model, of whose cells ``cells`` tells the addresses."""
        return [
            replace(edit, layer=cells[address])
            for edit, addresses in self._cells.items()
            for address in addresses
        ]

    def marked(self, address: str, node: CellTrace) -> CellTrace:
        """Return ``node`` with steps marked as edited, or as not, if its cell has edits at all."""
        edited = any(address in own for own in self._cells.values())
        if node.edited is not None or not edited:
            return node
        return node._replace(edited=np.zeros_like(node.mask))

    def parts(self, plans: Sequence[CellPlan]) -> list[Part]:
        """Return where and by what each edit changes a piece."""
        return [plan.part(np.arange(self._samples)) for plan in plans]


def _check_streamed(edit: Edit) -> None:
    if edit.hold and edit.quantity not in STATES:
        raise ValueError(
            f"{edit} holds what is no state: a session has not kept its value of the step before"
        )
    time = edit.time
    if time is None:
        return
    if isinstance(time, slice):
        least = min(time.start or 0, time.stop or 0, time.step or 1)
    else:
        least = np.min(time)
    if least < 0:
        raise ValueError(
            f"{edit}: time is {time!r}; a session has no last step to count from: count from 0 on"
        )


def _within(edit: Edit, first: int, steps: int) -> tuple[int, ...]:
    """Return which of the ``steps`` after the ``first`` ones an edit chooses, from 0 on."""
    time, numbers = edit.time, range(first, first + steps)
    if is_start(edit.quantity):
        return tuple(range(steps)) if first == 0 else ()
    if time is None:
        return tuple(range(steps))
    chosen = range(first + steps)[time] if isinstance(time, slice) else np.atleast_1d(time)
    return tuple(number - first for number in numbers if number in chosen)
