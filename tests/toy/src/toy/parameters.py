"""The schema of params.yaml."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from notebook_pipeline.parameters.strict import Count, Seed, Strict
from notebook_pipeline.parameters.sweeps import Sweeps


class Walk(Strict):
    """Of the notebook `walk`."""

    steps: Count
    seed: Seed


class Double(Strict):
    """Of the notebook `double`."""

    factor: float


class Timing(Strict):
    """Of the notebook `timing`."""

    rounds: Count


class Walking(Strict):
    """What the points of sweeps over `walking` are given."""

    steps: Count
    factor: float
    label: str


class Stride(Strict):
    """Parameters of a point that stand for others."""

    halves: Count

    def parameters(self) -> dict[str, Any]:
        """Return what they stand for."""
        return {"factor": self.halves / 2}


class Parameters(Strict):
    """All of params.yaml."""

    walk: Walk
    double: Double
    timing: Timing
    walking: Walking | None = None
    sweeps: Sweeps = Field(default_factory=dict)
