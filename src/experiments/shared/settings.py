"""Parameters that all experiments share, and common limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from notebook_pipeline.parameters.strict import Count, Distinct, Seed, Strict

LEAST_TRAINING = 30
"""Samples that made tasks are trained on, at least: their test parts then hold 10."""


class Seeded(Strict):
    """What every notebook takes."""

    seeds: Distinct[Seed]


class Trial(Seeded):
    """What decides a group of claims on stacks that configurations trained.

    Attributes:
        stacks: The configurations, from whose test parts ``samples`` are taken.
    """

    stacks: ClassVar[tuple[str, ...]] = ("stacked",)

    samples: Count


def too_little_training(name: str, section: Any, *steps: str) -> Iterator[str]:
    """Yield which of a section's numbers of steps leave made tasks too little to test on."""
    for key in steps:
        count = getattr(section, key)
        if count * section.batch_size < LEAST_TRAINING:
            yield (
                f"{name}.{key} is {count} and {name}.batch_size {section.batch_size}; their "
                f"product must be {LEAST_TRAINING} or more, so that enough is left to test on"
            )
