"""Cells with custom equations, by their number of states: the states, no gates."""

from __future__ import annotations

from lstm_states.cells.kind import CELL, HIDDEN, CellKind

_LONG_NAMES = {
    "hidden": HIDDEN,
    "cell": CELL,
    "state_2": "third state of a cell with equations of its own",
    "state_3": "fourth state of a cell with equations of its own",
}


def _carrying(number: int) -> CellKind:
    states = tuple(_LONG_NAMES)[:number]
    name = "custom" if number == 1 else f"custom of {number} states"
    return CellKind(name, states, {state: _LONG_NAMES[state] for state in states})


CUSTOM = tuple(_carrying(number) for number in range(1, len(_LONG_NAMES) + 1))
