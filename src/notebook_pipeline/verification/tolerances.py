"""tolerances.yaml: how far metrics may differ between two classes of machine."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.flat import flattened
from notebook_pipeline.parameters.strict import Strict
from notebook_pipeline.stages.outputs import EVIDENCE, METRICS
from notebook_pipeline.stages.points import FILE as POINTS
from notebook_pipeline.stages.points import numbers_of
from notebook_pipeline.verification.differences import Difference, show_values

Compared = Mapping[str, Callable[[Any], Mapping[str, Any]]]
"""By a file's name, what of its JSON must agree."""

Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Tolerance(Strict):
    """How far two values of a metric may be apart: ``absolute`` plus ``relative`` of the larger.

    With ``verdict`` any two agree: the verdict that they lead to must be the same, and that alone.
    """

    absolute: Share = 0.0
    relative: Share = 0.0
    verdict: bool = False

    def allows(self, here: float, clone: float) -> bool:
        """Whether two numbers agree; NaN and infinities agree with their like alone."""
        if self.verdict:
            return True
        if not (math.isfinite(here) and math.isfinite(clone)):
            return str(here) == str(clone)
        allowed = self.absolute + self.relative * max(abs(here), abs(clone))
        return abs(here - clone) <= allowed


class Tolerances(Strict):
    """All of tolerances.yaml: patterns of metrics' names, the first that fits counts."""

    metrics: dict[str, Tolerance]

    def of(self, name: str) -> Tolerance | None:
        """Return the tolerance of a metric such as ``sixes.share``; None if it has none."""
        fits = (found for pattern, found in self.metrics.items() if fnmatchcase(name, pattern))
        return next(fits, None)


def load_tolerances(path: Path) -> Tolerances:
    """Read tolerances.yaml.

    Raises:
        ConfigError: if it is missing, or naming every key that is unknown or wrong.
    """
    if not path.is_file():
        raise ConfigError(
            f"{path.name} is missing: it says how far metrics may differ between two classes of "
            "machine; `metrics: {}` allows no difference"
        )
    try:
        return Tolerances.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc']))} is {problem['input']!r}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise ConfigError(f"{path.name}: " + "\n  ".join(problems)) from None


def beyond_tolerance(
    here: Path, clone: Path, name: str, tolerances: Tolerances, compared: Compared
) -> Iterator[Difference]:
    """Yield what of a JSON file doesn't agree, each with what is allowed.

    Args:
        here: A file that :func:`is_compared`.
        clone: The same in the clone.
        name: Its path in the repository.
        tolerances: Those of the repository.
        compared: As in :class:`Project`.
    """
    a, b = (_metrics(path, name, compared) for path in (here, clone))
    for key in dict.fromkeys([*a, *b]):
        if key not in a or key not in b:
            yield Difference(f"{name}, {key}", "only here" if key in a else "only in the clone")
        elif problem := _problem(key, a[key], b[key], tolerances):
            yield Difference(f"{name}, {key}", problem)


def is_compared(path: str, compared: Collection[str]) -> bool:
    """Whether an output holds metrics, or is one of those that a project compares."""
    return Path(path).name in (METRICS, EVIDENCE, POINTS, *compared)


def _problem(key: str, here: Any, clone: Any, tolerances: Tolerances) -> str:
    """Say why two values don't agree; empty if they do."""
    if not isinstance(here, int | float) or not isinstance(clone, int | float):
        return "" if here == clone else show_values(here, clone)
    tolerance = tolerances.of(key)
    if tolerance is None:
        return "no pattern in tolerances.yaml matches it"
    if tolerance.allows(here, clone):
        return ""
    allowed = f"{tolerance.absolute:g} + {tolerance.relative:g} of the larger"
    return f"{show_values(here, clone)}, allowed are {allowed}"


def _metrics(path: Path, name: str, compared: Compared) -> Mapping[str, Any]:
    """Return what is compared of a file: metrics by stage and name, or what the project says."""
    found = json.loads(path.read_text(encoding="utf-8"))
    stage = Path(name).parent.name
    if path.name in compared:
        return compared[path.name](found)
    if path.name == POINTS:
        found = numbers_of(found)
    if path.name == EVIDENCE:
        found = {measure: kept["values"] for measure, kept in found.items()}
    return {f"{stage}.{key}": value for key, value in flattened(found)}
