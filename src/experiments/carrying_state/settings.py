"""The parameters of `carrying_state`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from experiments.shared.settings import Trial


class CarryingState(Trial):
    """How states are carried, over the last ``steps`` steps of each window."""

    samples: Annotated[int, Field(ge=2)]  # one sequence's states are given to another
    steps: Annotated[int, Field(ge=4)]


SECTIONS = {"carrying_state": CarryingState}


def broken_limits(params: Any) -> Iterator[str]:
    """Yield what doesn't fit together, each with its key, its value and what would fit."""
    steps, window = params.carrying_state.steps, params.stacked.window
    if steps > window:
        yield (
            f"carrying_state.steps is {steps}; it must be at most stacked.window, which is {window}"
        )
