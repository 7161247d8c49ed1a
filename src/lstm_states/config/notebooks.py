"""The parameters of notebooks: of the configurations, and of the trials that decide claims."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from lstm_states.config.strict import Count, Distinct, Fraction, Seed, Strict

CONFIGURATIONS = ("stacked", "intermediate_outputs", "variable_length")
"""The documented configurations, in the order of the article."""

TRIALS = ("how_states_flow", "memory", "depth", "carrying_state", "masking", "cost")
"""The groups of claims, a notebook each."""

HEADS = {"binary_crossentropy": ("sigmoid",), "sparse_categorical_crossentropy": ("softmax",)}
"""Activations of the head that a loss needs; the other losses are for numbers."""


class Seeded(Strict):
    """What every notebook takes."""

    seeds: Distinct[Seed]


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


class Trial(Seeded):
    """What decides a group of claims on stacks that configurations trained."""

    samples: Count


class Memory(Seeded):
    """How long states last and how far back gradients reach."""

    samples: Count
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


class Depth(Seeded):
    """What depth adds, on tasks with a known answer and on windows of the order book."""

    samples: Annotated[int, Field(ge=2)]
    width: Count
    training_steps: Count
    signal_steps: Count
    label_steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]


class CarryingState(Trial):
    """How states are carried, over the last ``steps`` steps of each window."""

    steps: Annotated[int, Field(ge=4)]


class Masking(Trial):
    """What masks skip, and how missing numbers are best encoded."""

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
        return self


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
                    f"({self.piece}), at least twice of it"
                )
        return self


SCHEMAS: dict[str, type[BaseModel]] = {
    "stacked": Centered,
    "intermediate_outputs": Windowed,
    "variable_length": Masked,
    "how_states_flow": Trial,
    "memory": Memory,
    "depth": Depth,
    "carrying_state": CarryingState,
    "masking": Masking,
    "cost": Cost,
}
"""The schema of each notebook's parameters."""


def stage_of(configuration: str) -> str:
    """Return the stage of dvc.yaml that runs the notebook of a configuration or a trial."""
    return f"{'trial' if configuration in TRIALS else 'experiment'}@{configuration}"
