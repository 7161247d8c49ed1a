"""The parameters of `cost`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from notebook_pipeline.parameters.strict import Count, Distinct, Strict


class Cost(Strict):
    """What states cost in time and memory."""

    batch_size: Count
    training_lengths: Distinct[Count]
    piece: Count
    processes: Count
    windows: Distinct[Annotated[int, Field(ge=2)]]
    rounds: Count

    @model_validator(mode="after")
    def _lengths_fit(self) -> Cost:
        for length in self.training_lengths:
            if length <= self.piece or length % self.piece:
                raise ValueError(
                    f"training_lengths holds {length}; it must be a multiple of piece "
                    f"({self.piece}), at least twice as long"
                )
        return self


SECTIONS = {"cost": Cost}
