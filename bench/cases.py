"""What is measured: the shapes, and how far the curves and the memory runs go."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Case:
    """One stack of recurrent layers and the data it is given.

    Attributes:
        name: Short and unique.
        units: Units of each layer.
        steps: Time steps of a sequence.
        batch: Samples computed at a time.
        mask: "none", "right" (padding at the end) or "random" (any step may be missing).
        samples: Samples given in one call; 0 means one batch.
        features: Input features.
        loops: Whether the slow loops over a cell run here too.
        work: "record" every state, "train" on one batch, "predict" one batch, fit one "epoch", or
            read the sequences "step" by step.
        configuration: Of which of this repository's configurations the epoch is.
        kind: "LSTM" or "GRU"; other than an LSTM, and bidirectional, for training and prediction.
        bidirectional: Whether each layer reads the sequence both ways.
    """

    name: str
    units: tuple[int, ...]
    steps: int
    batch: int
    mask: str = "none"
    samples: int = 0
    features: int = 8
    loops: bool = False
    work: str = "record"
    configuration: str = ""
    kind: str = "LSTM"
    bidirectional: bool = False

    @property
    def size(self) -> int:
        """Samples given in one call."""
        return self.samples or self.batch

    @property
    def directions(self) -> int:
        """In how many directions each layer reads the sequence."""
        return 2 if self.bidirectional else 1

    @property
    def widths(self) -> list[tuple[int, int]]:
        """How many numbers a step gives to each layer, and the layer's units."""
        given = [self.features, *(units * self.directions for units in self.units)]
        return list(zip(given, self.units, strict=False))

    @property
    def is_article(self) -> bool:
        """Whether this is the stack of the article: 64/32 units, 100 steps, batches of 64."""
        plain = self.kind == "LSTM" and not self.bidirectional
        return plain and (self.units, self.steps, self.batch) == ((64, 32), 100, 64)

    @property
    def shape(self) -> str:
        """The shape in words, such as "64/32, T=100, B=64, right-padded"."""
        if self.configuration:
            return self.configuration
        words = [] if self.kind == "LSTM" else [self.kind]
        words += ["bidirectional"] if self.bidirectional else []
        words += ["/".join(map(str, self.units)), f"T={self.steps}", f"B={self.batch}"]
        if self.size != self.batch:
            words.append(f"{self.size} samples")
        words += {"none": [], "right": ["right-padded"], "random": ["random mask"]}[self.mask]
        return ", ".join(words)

    def to_json(self) -> dict[str, Any]:
        """Return the fields, for :meth:`from_json` of another process."""
        return asdict(self)

    def describe(self) -> dict[str, Any]:
        """Return the fields and what follows from them, for the result."""
        return {**self.to_json(), "shape": self.shape, "is_article": self.is_article}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Case:
        """Make a case again from :meth:`to_json`."""
        return cls(**{**fields, "units": tuple(fields["units"])})


@dataclass(frozen=True)
class Plan:
    """Everything one run of the benchmark measures.

    Attributes:
        cases: Timed by all who record states.
        training: Timed by all who train and predict.
        profile: Whose training step is taken apart.
        curves: By axis ("samples", "steps", "layers"), cases that differ along it alone.
        memory: Recorded in memory, for the peak above what is returned.
        memory_training: Trained for one step, for the peak.
        stores: Recorded to disk, for the peak as the number of samples grows.
        seconds: Time for the rounds of one case; there are at least ``rounds[0]`` rounds and at
            most ``rounds[1]``.
        rounds: See ``seconds``.
        quick: Whether it only shows that all parts work.
    """

    cases: tuple[Case, ...]
    training: tuple[Case, ...]
    profile: Case
    curves: dict[str, tuple[Case, ...]]
    memory: tuple[Case, ...]
    memory_training: tuple[Case, ...]
    stores: tuple[Case, ...]
    seconds: float
    rounds: tuple[int, int]
    quick: bool = False


_STACK = (64, 32)

_CASES = (
    Case("article", _STACK, 100, 64, loops=True),
    Case("article_padded", _STACK, 100, 64, mask="right", loops=True),
    Case("article_gaps", _STACK, 100, 64, mask="random"),
    Case("article_batches", _STACK, 100, 64, samples=1024),
    Case("tiny", (32,), 20, 1, loops=True),
    Case("small", _STACK, 20, 1),
    Case("short", _STACK, 30, 32, features=4),
    Case("deep", (32, 32, 32, 32), 20, 512),
    Case("wide", (512,), 100, 64),
    Case("wide_one", (512, 512), 200, 1),
    Case("long", (64, 64), 2000, 8),
    Case("middle", (128, 64), 100, 256),
    Case("half_long", _STACK, 500, 32),
    Case("padded", _STACK, 200, 512, mask="right"),
)


_SIZES = (
    Case("A", _STACK, 100, 64),
    Case("B", _STACK, 30, 32, features=4),
    Case("C", (128, 64), 100, 256),
    Case("D", _STACK, 500, 32, features=16),
)
"""The shapes that the targets of training are about."""

_TRAINED = (
    *_SIZES,
    *(replace(case, name=f"{case.name}_gru", kind="GRU") for case in _SIZES),
    Case("A_padded", _STACK, 100, 64, mask="right"),
    Case("A_gaps", _STACK, 100, 64, mask="random"),
    Case("A_gru_padded", _STACK, 100, 64, mask="right", kind="GRU"),
    Case("A_both_ways", _STACK, 100, 64, bidirectional=True),
    Case("A_both_ways_padded", _STACK, 100, 64, mask="right", bidirectional=True),
    Case("wide", (512,), 100, 64),
    Case("deep", (32, 32, 32, 32), 20, 512),
    Case("one", _STACK, 100, 1),
)
_EPOCHS = tuple(
    Case(f"epoch_{name}", _STACK, 0, 0, work="epoch", configuration=name)
    for name in ("stacked", "intermediate_outputs", "variable_length")
)

_STEPS = (Case("step_one", _STACK, 20, 1, work="step"),)


def _trained(*cases: Case) -> tuple[Case, ...]:
    """Return the cases as training steps and as predictions."""
    return tuple(
        replace(case, name=f"{work}_{case.name}", work=work)
        for work in ("train", "predict")
        for case in cases
    )


def _along_samples(*counts: int) -> tuple[Case, ...]:
    return tuple(Case(f"samples_{n}", _STACK, 100, 64, samples=n) for n in counts)


def _along_steps(*counts: int) -> tuple[Case, ...]:
    return tuple(Case(f"steps_{n}", _STACK, n, 64) for n in counts)


def _along_layers(*counts: int) -> tuple[Case, ...]:
    return tuple(Case(f"layers_{n}", (64,) * n, 100, 64, features=64) for n in counts)


def _memory_training(*steps: int) -> tuple[Case, ...]:
    return tuple(Case(f"train_{n}_steps", _STACK, n, 64, work="train") for n in steps)


def _stores(batch: int, *counts: int) -> tuple[Case, ...]:
    return tuple(Case(f"store_{n}", _STACK, 100, batch, samples=n) for n in counts)


def full_plan(store_samples: int = 16000) -> Plan:
    """Return the plan of `make bench`.

    Args:
        store_samples: Samples of the largest store; 230 kB each before compression.
    """
    return Plan(
        cases=_CASES,
        training=(*_trained(*_TRAINED), *_EPOCHS, *_STEPS),
        profile=replace(_SIZES[0], work="train"),
        curves={
            "samples": _along_samples(64, 128, 256, 512, 1024),
            "steps": _along_steps(50, 100, 200, 400, 800, 1600),
            "layers": _along_layers(1, 2, 3, 4, 5, 6),
        },
        memory=(
            Case("memory_64", _STACK, 100, 64, samples=1024),
            Case("memory_256", _STACK, 100, 256, samples=4096),
            Case("memory_padded", _STACK, 200, 512, mask="right", samples=2048),
        ),
        memory_training=_memory_training(100, 1000, 5000),
        stores=_stores(256, *(store_samples // part for part in (8, 4, 2, 1))),
        seconds=20.0,
        rounds=(7, 31),
    )


def quick_plan() -> Plan:
    """Return a plan of seconds, which shows that all parts work and measures little."""
    return Plan(
        cases=(Case("quick", (8, 4), 10, 4, mask="right", samples=8, loops=True),),
        training=(
            *_trained(
                Case("small", (8, 4), 10, 4, mask="right"),
                Case("small_gru", (8, 4), 10, 4, kind="GRU"),
                Case("small_both_ways", (8, 4), 10, 4, mask="right", bidirectional=True),
            ),
            Case("step_small", (8, 4), 10, 1, work="step"),
        ),
        profile=Case("profile_quick", (8, 4), 10, 4, work="train"),
        curves={"samples": _along_samples(64, 256), "layers": _along_layers(1, 3)},
        memory=(Case("memory_quick", _STACK, 20, 64, samples=256),),
        memory_training=_memory_training(100),
        stores=_stores(64, 512, 1024),
        seconds=1.0,
        rounds=(3, 3),
        quick=True,
    )
