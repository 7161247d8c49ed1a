"""Edits of a stream, whose steps come one by one or a few at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstm_states.kernels.edits import INPUTS
from lstm_states.traces.cell_trace import CellTrace
from lstm_states.traces.edit import Edit
from lstm_states.traces.edit_plans import CellPlan, Places, plan_edits
from lstm_states.traces.recorder import Recorder
from lstm_states.traces.traced_layers import TracedLayer


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
        self.edits = edits
        self._traced, self._samples = traced, samples
        self._recorders: dict[tuple, Recorder] = {}
        plans = plan_edits([replace(edit, time=None) for edit in edits], traced, samples)
        states = {name for plan in plans for name in plan.states}
        self._cells = {plan.address for plan in plans}
        for edit in edits:
            _check_streamed(edit, states)
        for plan in plans:
            if plan.by_step:
                raise ValueError(
                    f"{plan.edit}: {plan.edit.action} has steps, of which a session doesn't know "
                    "the number; give each step an edit of its own"
                )

    def recorder(self, recorder: Recorder, first: int, steps: int) -> Recorder:
        """Return ``recorder`` with the edits of the ``steps`` that follow the ``first`` ones."""
        if not self.edits:
            return recorder
        chosen = tuple(_within(edit, first, steps) for edit in self.edits)
        key = (id(recorder), chosen)
        if key not in self._recorders:
            own = [
                replace(edit, time=None if len(time) == steps else time)
                for edit, time in zip(self.edits, chosen, strict=True)
                if time
            ]
            plans = plan_edits(own, self._traced, self._samples)
            self._recorders[key] = replace(recorder, plans=plans)
        return self._recorders[key]

    def marked(self, address: str, node: CellTrace) -> CellTrace:
        """Return ``node`` with steps marked as edited, or as not, if its cell has edits at all."""
        if node.edited is not None or address not in self._cells:
            return node
        return node._replace(edited=np.zeros_like(node.mask))

    def places(self, plans: Sequence[CellPlan]) -> list[Places]:
        """Return where and by what each edit changes a piece."""
        return [plan.places(np.arange(self._samples)) for plan in plans]


def _check_streamed(edit: Edit, states: set[str]) -> None:
    if edit.hold and edit.quantity not in states:
        what = "input" if edit.quantity == INPUTS else "gate"
        raise ValueError(
            f"{edit} holds an {what} of the step before, which a session has not kept; it can hold "
            f"{sorted(states)}"
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
    if edit.quantity.startswith("initial_"):
        return tuple(range(steps)) if first == 0 else ()
    if time is None:
        return tuple(range(steps))
    reached = np.arange(first + steps)
    chosen = reached[time] if isinstance(time, slice) else np.atleast_1d(time)
    return tuple(number - first for number in numbers if number in chosen)
