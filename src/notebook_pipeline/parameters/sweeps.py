"""The section `sweeps` of params.yaml, and the points that a sweep has."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from notebook_pipeline.parameters.strict import Count, Distinct, Seed, Strict

DIGITS = 6
"""Significant digits of a drawn number: enough to tell points apart, few enough to be read."""


def _each_once(values: list[Any]) -> list[Any]:
    for at, value in enumerate(values):
        if value in values[:at]:
            raise ValueError(f"{value!r} is there twice")
    return values


Values = Annotated[list[Any], Field(min_length=1), AfterValidator(_each_once)]


class Draw(Strict):
    """How a parameter is drawn: from a range, or from choices that are as likely as each other.

    Whole ends give whole numbers, both ends included. With ``log`` the logarithm is uniform.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: Values | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Draw:
        is_range = self.low is not None and self.high is not None
        given = self.model_fields_set
        if (self.choices is not None) == is_range or (self.choices is not None and len(given) > 1):
            raise ValueError(f"has {', '.join(sorted(given))}; it needs low and high, or choices")
        if is_range and not self.low < self.high:  # type: ignore[operator]
            raise ValueError(f"low is {self.low} and high {self.high}; low must be less")
        if self.log and not self.low > 0:  # type: ignore[operator]
            raise ValueError(f"low is {self.low}; with log it must be more than 0")
        return self

    def values(self, count: int, seed: str) -> list[Any]:
        """Return draws; of more draws with the same seed the first are the same."""
        # Not NumPy's: Python promises the same numbers in each of its versions.
        rng = random.Random(seed)
        return [self._value(rng.random()) for _ in range(count)]

    def _value(self, share: float) -> Any:
        if self.choices is not None:
            return self.choices[int(share * len(self.choices))]
        assert self.low is not None
        assert self.high is not None
        low, high, whole = self.low, self.high, self._is_whole
        if whole:  # each number has as much of the range as the others, those at the ends too
            low, high = low - 0.5, high + 0.5
        if self.log:
            value = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            value = low + share * (high - low)
        shown = round(value) if whole else float(f"{value:.{DIGITS}g}")
        return min(max(shown, self.low), self.high)

    @property
    def _is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


class Draws(Strict):
    """Points drawn at random."""

    count: Count
    seed: Seed
    parameters: Annotated[dict[str, Draw], Field(min_length=1)]


class Sweep(Strict):
    """A section of `sweeps`: many points, each run with every seed.

    Attributes:
        question: What it asks; the heading of its page.
        of: The section of params.yaml whose values a point has where it names no other.
        grid: All combinations of these values by parameter.
        points: Points one by one, each a value by parameter.
        draws: Points drawn at random.
        fixed: Values that all points have, by parameter.
        seeds: Of each point.
    """

    question: Annotated[str, Field(min_length=1)]
    of: str
    grid: Annotated[dict[str, Values], Field(min_length=1)] | None = None
    points: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    draws: Draws | None = None
    fixed: dict[str, Any] = Field(default_factory=dict)
    seeds: Distinct[Seed]

    @model_validator(mode="after")
    def _one_kind(self) -> Sweep:
        kinds = [kind for kind in ("grid", "points", "draws") if getattr(self, kind) is not None]
        if len(kinds) != 1:
            has = " and ".join(kinds) or "none"
            raise ValueError(f"it needs one of grid, points and draws; it has {has}")
        for at, point in enumerate(self.points or ()):
            if not point or point.keys() != self.points[0].keys():  # type: ignore[index]
                raise ValueError(
                    f"points[{at}] has {', '.join(point) or 'nothing'}; all points have the "
                    "same parameters"
                )
            if point in self.points[:at]:  # type: ignore[index]
                raise ValueError(f"points[{at}] is there twice: {point_in_words(point)}")
        for name in self.fixed:
            if name in self.names:
                raise ValueError(f"{name} is fixed, and in {kinds[0]}; take one of them away")
        return self

    @property
    def names(self) -> list[str]:
        """The parameters in which points differ."""
        if self.grid is not None:
            return list(self.grid)
        return list(self.points[0] if self.points else self.draws.parameters)  # type: ignore[union-attr]

    def given(self) -> list[dict[str, Any]]:
        """Return the points, in order: a value for each of :attr:`names`."""
        if self.points is not None:
            return [dict(point) for point in self.points]
        if self.grid is not None:
            rows = itertools.product(*self.grid.values())
            return [dict(zip(self.grid, row, strict=True)) for row in rows]
        return list(self._drawn())

    def _drawn(self) -> Iterator[dict[str, Any]]:
        """Yield what is drawn; choices and whole numbers may come again, and count once."""
        draws = self.draws
        assert draws is not None
        # Each parameter has numbers of its own: another one beside it changes none of them.
        columns = [
            draw.values(draws.count, f"{draws.seed} {name}")
            for name, draw in draws.parameters.items()
        ]
        rows = zip(*columns, strict=True)
        points = (dict(zip(draws.parameters, row, strict=True)) for row in rows)
        yield from {repr(point): point for point in points}.values()


Sweeps = dict[str, Sweep]
"""The type of the section `sweeps` in a project's schema."""


def point_in_words(point: Mapping[str, Any]) -> str:
    """Return a point such as "depth 2, width 16"."""
    return ", ".join(f"{name} {value}" for name, value in point.items())
