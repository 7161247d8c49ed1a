"""The schema of params.yaml: what each parameter is called and what it may be."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

CONFIGURATIONS = ("stacked", "intermediate_outputs", "variable_length")
"""The documented configurations, in the order of the article."""

TRIALS = ("how_states_flow", "memory", "depth", "carrying_state", "masking", "cost")
"""The groups of claims, a notebook each."""

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


HEADS = {"binary_crossentropy": ("sigmoid",), "sparse_categorical_crossentropy": ("softmax",)}
"""Activations of the head that a loss needs; the other losses are for numbers."""


class ConfigError(ValueError):
    """A parameter is unknown, missing or out of range; names the key, the value and what fits."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _SplitByTime(_Strict):
    train_fraction: Fraction = 0.6
    validation_fraction: Fraction = 0.1

    @model_validator(mode="after")
    def _leave_a_test_part(self) -> _SplitByTime:
        if self.train_fraction + self.validation_fraction >= 1:
            raise ValueError(
                f"train_fraction {self.train_fraction} + validation_fraction "
                f"{self.validation_fraction} must leave a part for the test"
            )
        return self


class OrderBook(_SplitByTime):
    """The Bitstamp order-book capture, resampled to bars of ``bar_ms`` milliseconds."""

    maker: Literal["order_book"]
    source: Literal["data/sources.yaml"]
    bar_ms: Count
    horizon_bars: Count


class JapaneseVowels(_Strict):
    """The utterances of nine speakers; a part of the official training set is for validation."""

    maker: Literal["japanese_vowels"]
    source: Literal["data/sources.yaml"]
    validation_fraction: Fraction
    seed: int


class Table(_SplitByTime):
    """A user's CSV or Parquet file; with ``series`` each value of that column is one sequence."""

    maker: Literal["table"]
    source: str
    time: str
    features: Annotated[list[str], Field(min_length=1)]
    target: str
    series: str | None = None
    horizon: Annotated[int, Field(ge=0)] = 0


Dataset = Annotated[OrderBook | JapaneseVowels | Table, Field(discriminator="maker")]


class Seeded(_Strict):
    """What every notebook takes."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _seeds_differ(self) -> Seeded:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds are {self.seeds}; each may stand there once")
        return self


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
    forget_biases: Annotated[list[float], Field(min_length=1)]
    lengths: Annotated[list[Annotated[int, Field(ge=3)]], Field(min_length=1)]
    training_steps: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _lengths_are_shorter(self) -> Memory:
        for name in ("lengths", "forget_biases"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise ValueError(f"{name} is {values}; each may stand there once")
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


class Cost(_Strict):
    """What states cost in time and memory."""

    batch_size: Count
    training_lengths: Annotated[list[Count], Field(min_length=1)]
    piece: Count
    processes: Count
    windows: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=1)]
    rounds: Count

    @model_validator(mode="after")
    def _pieces_fit(self) -> Cost:
        for length in self.training_lengths:
            if length <= self.piece or length % self.piece:
                raise ValueError(
                    f"training_lengths holds {length}; it must be a multiple of piece "
                    f"({self.piece}), at least twice of it"
                )
        return self


class Params(_Strict):
    """All of params.yaml."""

    datasets: dict[str, Dataset]
    stacked: Centered
    intermediate_outputs: Windowed
    variable_length: Masked
    how_states_flow: Trial
    memory: Memory
    depth: Depth
    carrying_state: CarryingState
    masking: Masking
    cost: Cost

    @model_validator(mode="after")
    def _datasets_exist(self) -> Params:
        for name in CONFIGURATIONS:
            dataset = getattr(self, name).dataset
            if dataset not in self.datasets:
                raise ValueError(f"{name}.dataset is {dataset!r}; there are {list(self.datasets)}")
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


def project_root() -> Path:
    """Return the repository: the nearest folder from here up with a dvc.yaml, else our checkout.

    Raises:
        ConfigError: if there is none.
    """
    here = Path.cwd()
    checkout = Path(__file__).parents[2]
    for folder in (here, *here.parents, checkout):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise ConfigError(f"no dvc.yaml in {here} or above it; change to a clone of the repository")


def load_params(path: Path | None = None) -> Params:
    """Read and check params.yaml (the project's own by default).

    Raises:
        ConfigError: naming every key that is unknown, missing or out of range.
    """
    path = path or project_root() / "params.yaml"
    return _validated(Params, yaml.safe_load(path.read_text()), path.name)


def read_parameters(configuration: str, namespace: Mapping[str, Any]) -> Any:
    """Check the parameters a notebook holds and return them as one frozen object.

    Args:
        configuration: One of :data:`CONFIGURATIONS` or :data:`TRIALS`.
        namespace: The notebook's ``globals()``; names that are no parameter are left alone.

    Raises:
        ConfigError: naming every parameter that is missing or out of range.
    """
    schema = SCHEMAS[configuration]
    values = {name: namespace[name] for name in schema.model_fields if name in namespace}
    return _validated(schema, values, f"notebook {configuration}")


def _validated(schema: type[BaseModel], values: Any, where: str) -> Any:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problems = [_explained(schema, problem) for problem in error.errors()]
        raise ConfigError(f"{where}: " + "\n  ".join(problems)) from None


def _explained(schema: type[BaseModel], problem: Any) -> str:
    # The tag of a union member is no key of the file.
    makers = {"order_book", "japanese_vowels", "table"}
    location = [str(part) for part in problem["loc"]]
    if location[:1] == ["datasets"] and len(location) > 2 and location[2] in makers:
        del location[2]
    key = ".".join(location) or "parameters"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _known_names(schema), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{key} is not a parameter{hint}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{key}: {message}" if location else message
    return f"{key} is {problem['input']!r}: {problem['msg']}"


def _known_names(schema: type[BaseModel]) -> list[str]:
    models: list[type[BaseModel]] = [schema, OrderBook, JapaneseVowels, Table, *SCHEMAS.values()]
    return sorted({name for model in models for name in model.model_fields})
