"""The points of sweeps with all their parameters, each checked against its section's schema."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.file import FILE, load_parameters, validated
from notebook_pipeline.parameters.names import near_or_all
from notebook_pipeline.parameters.sweeps import Sweep, point_in_words
from notebook_pipeline.project import Swept, project_of


@dataclass(frozen=True)
class Point:
    """A point of a sweep, for every seed.

    Attributes:
        given: The values by which it differs from other points.
        parameters: All that its function is given.
    """

    given: Mapping[str, Any]
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class CheckedSweep:
    """A sweep whose points are all of the right kind.

    Attributes:
        settings: Its section.
        points: In the order of the section.
        departs: Values of the base section that no point has, by the parameters that all points
            have in another way.
    """

    settings: Sweep
    points: tuple[Point, ...]
    departs: Mapping[str, Any]


def check_sweeps(root: Path) -> dict[str, CheckedSweep]:
    """Return the sweeps of a repository's params.yaml.

    Raises:
        ConfigError: as for :func:`load_parameters`, or naming the sweep, the point, the parameter
            and its value where a point is wrong.
    """
    parameters = load_parameters(root)
    swept = project_of(root).swept
    sweeps: Mapping[str, Sweep] = getattr(parameters, "sweeps", {})
    return {name: _checked(name, sweep, parameters, swept) for name, sweep in sweeps.items()}


def _checked(
    name: str, sweep: Sweep, parameters: BaseModel, known: Mapping[str, Swept]
) -> CheckedSweep:
    where = f"{FILE}: sweeps.{name}"
    if name in type(parameters).model_fields:
        raise ConfigError(f"{where}: {name!r} is a section; take another name")
    if sweep.of not in known:
        raise ConfigError(f"{where}.of is {sweep.of!r}; {near_or_all(sweep.of, known)}")
    if (base := getattr(parameters, sweep.of, None)) is None:
        raise ConfigError(f"{where}.of is {sweep.of!r}, but there is no such section")
    swept = known[sweep.of]
    shorthand = swept.shorthand() if swept.shorthand else None
    _check_names(where, sweep, type(base), shorthand, swept)
    points = tuple(_points(where, sweep, base, shorthand, swept.unread))
    shared = points[0].parameters
    departs = {
        key: value
        for key, value in base.model_dump(exclude=set(swept.unread)).items()
        if key not in sweep.names
        and value != shared[key]
        and all(point.parameters[key] == shared[key] for point in points)
    }
    return CheckedSweep(sweep, points, departs)


def _check_names(
    where: str,
    sweep: Sweep,
    section: type[BaseModel],
    shorthand: type[BaseModel] | None,
    swept: Swept,
) -> None:
    """Refuse parameters that don't exist, or that no point reads."""
    short = list(shorthand.model_fields) if shorthand else []
    known = [name for name in section.model_fields if name not in swept.unread]
    for name in (*sweep.names, *sweep.fixed):
        if name in swept.unread:
            raise ConfigError(f"{where}: {name} changes nothing in a point of {sweep.of}")
        if name not in (*known, *short):
            hint = near_or_all(name, (*known, *short))
            raise ConfigError(f"{where}: {name!r} is not a parameter of {sweep.of}; {hint}")


def _points(
    where: str,
    sweep: Sweep,
    base: BaseModel,
    shorthand: type[BaseModel] | None,
    unread: Collection[str],
) -> Iterator[Point]:
    own = base.model_dump()
    for given in sweep.given():
        place = f"{where}, point {point_in_words(given)}"
        values = _written_out(place, {**sweep.fixed, **given}, shorthand)
        checked = validated(type(base), {**own, **values}, place)
        yield Point(given, checked.model_dump(exclude=set(unread)))


def _written_out(
    place: str, values: dict[str, Any], shorthand: type[BaseModel] | None
) -> dict[str, Any]:
    """Return values with the parameters that a shorthand stands for in its place."""
    short = {name: values.pop(name) for name in [*values] if _is_of(name, shorthand)}
    if not short or shorthand is None:
        return values
    stood_for = validated(shorthand, short, place).parameters()
    if both := sorted(stood_for.keys() & values.keys()):
        raise ConfigError(f"{place}: {both[0]} is given beside {' and '.join(short)}; take one")
    return values | stood_for


def _is_of(name: str, model: type[BaseModel] | None) -> bool:
    return model is not None and name in model.model_fields
