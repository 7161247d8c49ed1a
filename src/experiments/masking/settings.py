"""The parameters of `masking`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from experiments.shared.settings import Trial
from notebook_pipeline.parameters.strict import Count, Fraction


class Masking(Trial):
    """What masks skip, and how missing numbers are best encoded.

    ``dataset``, one long series, and ``target`` are those of the contest of encodings.
    """

    stacks: ClassVar[tuple[str, ...]] = ("variable_length",)

    dataset: str
    target: str
    window: Annotated[int, Field(ge=2)]
    stride: Count
    missing: Fraction
    gap: Count
    units: Annotated[list[Count], Field(min_length=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    batch_size: Count
    epochs: Count

    @model_validator(mode="after")
    def _gap_is_shorter(self) -> Masking:
        if self.gap >= self.window:
            raise ValueError(f"gap is {self.gap}; it must be below window, which is {self.window}")
        most = self.gap / (self.gap + 1)
        if self.missing > most:
            raise ValueError(
                f"missing is {self.missing}; with gaps of {self.gap} steps, one step apart at "
                f"least, it may be {most:.3f} at most"
            )
        return self


SECTIONS = {"masking": Masking}
