"""The parameters of `example`."""

from __future__ import annotations

from experiments.shared.settings import Seeded
from notebook_pipeline.parameters.strict import Fraction


class Example(Seeded):
    """How long a state that leaks keeps a change."""

    keep: Fraction


SECTIONS = {"example": Example}
