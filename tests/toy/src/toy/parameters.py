"""The schema of params.yaml."""

from __future__ import annotations

from notebook_pipeline.parameters.strict import Count, Seed, Strict


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


class Parameters(Strict):
    """All of params.yaml."""

    walk: Walk
    double: Double
    timing: Timing
