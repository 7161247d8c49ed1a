"""The measures and numbers of two reports: spread over seeds, and the interval of a difference."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebook_pipeline.flat import flattened
from notebook_pipeline.stages.outputs import EVIDENCE, METRICS

LEVEL = 0.95
"""Of the intervals."""

PAIRS = 3
"""Seeds that both sides must have for an interval of paired differences."""

_SEED = re.compile(r"seed \d+")

Values = Mapping[str, float]
"""By the name of a seed, model or case."""


@dataclass(frozen=True)
class Interval:
    """The interval of a difference of means.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        how: Over what it was taken: "5 pairs of one seed", or "Welch, 5 and 3 seeds".
    """

    low: float
    high: float
    how: str

    @property
    def excludes_zero(self) -> bool:
        """Whether it lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Seeded:
    """A measure whose values are by seed.

    Attributes:
        name: The measure's.
        says: What it is in words.
        unit: Of its values; "1" for none.
        first: Values of the first side, by seed.
        second: Those of the second side.
        difference: Mean of the second less mean of the first; of the seeds that both have if
            the interval is of pairs.
        interval: Of that difference; None where it can't be had.
    """

    name: str
    says: str
    unit: str
    first: Values
    second: Values
    difference: float
    interval: Interval | None

    @property
    def size(self) -> float:
        """The difference over the spread of seeds; infinite where there is no spread."""
        return _over(abs(self.difference), _spread(self.first, self.second))


@dataclass(frozen=True)
class Single:
    """A value that is not by seed.

    Attributes:
        name: What it is called.
        first: The value on the first side.
        second: The value on the second side.
    """

    name: str
    first: Any
    second: Any

    @property
    def difference(self) -> float | None:
        """The second less the first; None unless both are numbers."""
        numbers = (self.first, self.second)
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in numbers):
            return None
        return float(self.second - self.first)

    @property
    def size(self) -> float:
        """The difference over the larger of the values; infinite for what is no number."""
        if self.difference is None:
            return math.inf
        return abs(self.difference) / max(abs(self.first), abs(self.second))


@dataclass(frozen=True)
class Measures:
    """What differs between the measures of two reports, the largest difference first.

    Attributes:
        seeded: By seed.
        single: Not by seed.
        equal: How many are equal.
        first_only: Names of what the first side alone has.
        second_only: Names of what the second side alone has.
    """

    seeded: tuple[Seeded, ...] = ()
    single: tuple[Single, ...] = ()
    equal: int = 0
    first_only: tuple[str, ...] = ()
    second_only: tuple[str, ...] = ()

    @property
    def differing(self) -> int:
        """How many differ, those of one side included."""
        lists: Sequence[Sequence[Any]] = (
            self.seeded, self.single, self.first_only, self.second_only,
        )  # fmt: skip
        return sum(map(len, lists))

    @property
    def intervals(self) -> list[Interval]:
        """The intervals that there are."""
        return [one.interval for one in self.seeded if one.interval]


def compare_evidence(first: Path, second: Path) -> Measures:
    """Compare the files ``evidence.json`` of two folders; a file that isn't there has no measure.

    A measure with values of seeds and of other cases counts as one of seeds and one of each case.
    """
    a, b = (_split(_read(folder / EVIDENCE)) for folder in (first, second))
    both = [key for key in a if key in b]
    differ = [key for key in both if not _are_equal(a[key][0], b[key][0])]
    seeded = [_seeded(name, a[name, case], b[name, case]) for name, case in differ if not case]
    single = [
        Single(f"{a[key][1]}, {key[1]}", a[key][0][key[1]], b[key][0][key[1]])
        for key in differ
        if key[1]
    ]
    return Measures(
        tuple(sorted(seeded, key=lambda one: -one.size)),
        tuple(sorted(single, key=lambda one: -one.size)),
        len(both) - len(differ),
        tuple(_called(key, a[key]) for key in a if key not in b),
        tuple(_called(key, b[key]) for key in b if key not in a),
    )


def compare_numbers(first: Path, second: Path) -> Measures:
    """Compare the files ``metrics.json`` of two folders, value by value."""
    a, b = (dict(flattened(_read(folder / METRICS))) for folder in (first, second))
    both = [Single(name, a[name], b[name]) for name in a if name in b]
    differ = [one for one in both if not _are_equal({"": one.first}, {"": one.second})]
    return Measures(
        single=tuple(sorted(differ, key=lambda one: -one.size)),
        equal=len(both) - len(differ),
        first_only=tuple(name for name in a if name not in b),
        second_only=tuple(name for name in b if name not in a),
    )


def interval_of(first: Values, second: Values) -> Interval | None:
    """Return the interval of the mean of ``second`` less that of ``first``.

    Student's, of the differences of each seed, where both sides have three seeds or more in
    common; else Welch's, which asks for two seeds of each side. The interval is a point where
    nothing varies.

    Returns:
        None where there are fewer seeds, or a value is no finite number.
    """
    if not all(map(math.isfinite, (*first.values(), *second.values()))):
        return None
    common = [seed for seed in first if seed in second]
    if len(common) >= PAIRS:
        apart = [second[seed] - first[seed] for seed in common]
        error = math.sqrt(statistics.variance(apart) / len(apart))
        freedom = len(apart) - 1.0
        return _interval(statistics.fmean(apart), error, freedom, f"{len(common)} pairs of a seed")
    if min(len(first), len(second)) < 2:
        return None
    # Welch (1947): each side has its own variance, and the degrees of freedom follow from both.
    parts = [(statistics.variance(v.values()) / len(v), len(v) - 1) for v in (first, second)]
    whole = sum(part for part, _ in parts)
    freedom = _over(whole**2, sum(part**2 / free for part, free in parts))
    middle = statistics.fmean(second.values()) - statistics.fmean(first.values())
    how = f"Welch, {len(first)} and {len(second)} seeds"
    return _interval(middle, math.sqrt(whole), freedom, how)


def _interval(middle: float, error: float, freedom: float, how: str) -> Interval:
    from scipy.special import stdtrit  # quantiles of t; scipy.stats takes a second to import

    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error if error else 0.0
    return Interval(middle - half, middle + half, how)


def _seeded(name: str, first: tuple[Values, str, str], second: tuple[Values, str, str]) -> Seeded:
    (a, says, unit), (b, *_) = first, second
    interval = interval_of(a, b)
    common = [seed for seed in a if seed in b]
    paired = interval is not None and len(common) >= PAIRS
    seeds = [common, common] if paired else [list(a), list(b)]
    means = [
        statistics.fmean(v[s] for s in chosen) for v, chosen in zip((a, b), seeds, strict=True)
    ]
    return Seeded(name, says, unit, a, b, means[1] - means[0], interval)


def _split(evidence: Mapping[str, Any]) -> dict[tuple[str, str], tuple[Values, str, str]]:
    """Return values, words and unit by measure and case; the case of all seeds is empty."""
    found: dict[tuple[str, str], tuple[Values, str, str]] = {}
    for name, kept in evidence.items():
        seeds = {case: v for case, v in kept["values"].items() if _SEED.fullmatch(case)}
        if seeds:
            found[name, ""] = seeds, kept["says"], kept["unit"]
        for case in kept["values"].keys() - seeds.keys():
            found[name, case] = {case: kept["values"][case]}, kept["says"], kept["unit"]
    return dict(sorted(found.items()))


def _called(key: tuple[str, str], kept: tuple[Values, str, str]) -> str:
    return f"{kept[1]}, {key[1]}" if key[1] else kept[1]


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _are_equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether all values are equal; NaN equals NaN."""
    return a.keys() == b.keys() and all(a[k] == b[k] or _both_nan(a[k], b[k]) for k in a)


def _both_nan(a: Any, b: Any) -> bool:
    return bool(a != a and b != b)


def _spread(*sides: Values) -> float:
    """Return the standard deviation of seeds within a side, over all sides."""
    known = [statistics.variance(v.values()) for v in sides if len(v) > 1]
    return math.sqrt(statistics.fmean(known)) if known else 0.0


def _over(value: float, by: float) -> float:
    if math.isnan(value):
        return math.inf  # what is no number comes first
    return value / by if by else math.inf


def shown(*values: Any) -> Iterator[str]:
    """Yield values in four digits, or as many as tell those apart that differ."""
    for digits in range(4, 18):
        texts = [_written(value, digits) for value in values]
        if len(set(texts)) == len(set(map(repr, values))):
            break
    yield from texts


def _written(value: Any, digits: int) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def in_words(values: Values) -> str:
    """Say the median of some seeds, and the lowest and the highest."""
    kept = sorted(values.values())
    if len(kept) == 1:
        return f"{kept[0]:.4g} (one seed)"
    if not all(map(math.isfinite, kept)):
        return ", ".join(f"{value:.4g}" for value in values.values())
    return f"{statistics.median(kept):.4g} ({kept[0]:.4g} to {kept[-1]:.4g})"
