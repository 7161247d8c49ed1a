"""The parameters of `memory`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from experiments.shared.settings import Trial, too_little_training
from notebook_pipeline.parameters.strict import Count, Distinct


class Memory(Trial):
    """How long states last and how far back gradients reach."""

    steps: Annotated[int, Field(ge=10)]
    width: Count
    forget_biases: Distinct[float]
    lengths: Distinct[Annotated[int, Field(ge=3)]]
    training_steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _lengths_are_shorter(self) -> Memory:
        if max(self.lengths) >= self.steps:
            raise ValueError(
                f"lengths is {self.lengths}; each must be below steps, which is {self.steps}"
            )
        return self


SECTIONS = {"memory": Memory}


def broken_limits(params: Any) -> Iterator[str]:
    """Yield what doesn't fit together, each with its key, its value and what would fit."""
    yield from too_little_training("memory", params.memory, "training_steps")
