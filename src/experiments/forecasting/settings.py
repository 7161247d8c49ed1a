"""The parameters of the documented configurations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from experiments.shared.settings import Seeded
from notebook_pipeline.parameters.strict import Count

HEADS = {"binary_crossentropy": ("sigmoid",), "sparse_categorical_crossentropy": ("softmax",)}
"""Activations of the head that a loss needs; the other losses are for numbers."""


class Experiment(Seeded):
    """What every configuration's notebook takes."""

    dataset: str
    target: str
    units: Annotated[list[Count], Field(min_length=1)]
    head_units: Count
    head_activation: Literal["linear", "sigmoid", "softmax"] | None
    loss: Literal["mse", "huber", "binary_crossentropy", "sparse_categorical_crossentropy"]
    learning_rate: Annotated[float, Field(gt=0)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_size: Count
    epochs: Count
    patience: Annotated[int, Field(ge=0)]
    trace_samples: Count
    resamples: Annotated[int, Field(ge=100)]

    @model_validator(mode="after")
    def _head_fits_loss(self) -> Experiment:
        allowed = HEADS.get(self.loss, (None, "linear", "sigmoid"))
        if self.head_activation not in allowed:
            raise ValueError(
                f"head_activation is {self.head_activation!r}; {self.loss} needs one of {allowed}"
            )
        classes = self.loss == "sparse_categorical_crossentropy"
        if (self.head_units > 1) != classes:
            count = "a unit for each class" if classes else "1 unit"
            raise ValueError(f"head_units is {self.head_units}; {self.loss} needs {count}")
        return self


class Windowed(Experiment):
    """A configuration on windows of one long series."""

    window: Annotated[int, Field(ge=2)]
    train_stride: Count


class Centered(Windowed):
    """The configuration with one forecast a window, which may be relative to the window's mean."""

    center: bool


class Masked(Experiment):
    """The configuration on whole sequences of different lengths."""

    mask_value: float


SECTIONS = {"stacked": Centered, "intermediate_outputs": Windowed, "variable_length": Masked}
