"""The parameters of `depth`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from experiments.shared.settings import Trial, too_little_training
from notebook_pipeline.parameters.strict import Count

LAGS = 10
"""Past inputs that the probes ask for: a window must be longer."""


class Depth(Trial):
    """What depth adds, on tasks with a known answer and on the data of ``stacked``."""

    samples: Annotated[int, Field(ge=2)]
    width: Count
    training_steps: Count
    signal_steps: Count
    label_steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]


SECTIONS = {"depth": Depth}


def broken_limits(params: Any) -> Iterator[str]:
    """Yield what doesn't fit together, each with its key, its value and what would fit."""
    yield from _of_stack(params)
    steps = ("training_steps", "signal_steps", "label_steps")
    yield from too_little_training("depth", params.depth, *steps)


def _of_stack(params: Any) -> Iterator[str]:
    window, units, samples = params.stacked.window, params.stacked.units, params.depth.samples
    if window <= LAGS:
        yield (
            f"stacked.window is {window}; it must be above {LAGS}, the past steps that the trial "
            "depth reads from the states"
        )
        return
    if len(units) < 2:
        yield (
            f"stacked.units is {units}; it must hold 2 widths or more, since trials compare layers"
        )
        return
    fitted, scored = (samples + 1) // 2 * window, samples // 2 * (window - LAGS)
    if fitted < min(units[:2]) or scored < 2:
        yield (
            f"depth.samples is {samples}; with windows of {window} steps that is too few to read "
            f"{min(units[:2])} units from half of them and to score on the other half"
        )
