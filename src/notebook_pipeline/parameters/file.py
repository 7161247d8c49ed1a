"""Read and check params.yaml, and describe what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from inspect import isclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ValidationError, WrapValidator, create_model
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.names import near_or_all
from notebook_pipeline.parameters.strict import Strict
from notebook_pipeline.parameters.sweeps import Sweeps
from notebook_pipeline.project import project_of
from notebook_pipeline.repository import project_root

FILE = "params.yaml"


def load_parameters(root: Path | None = None) -> Any:
    """Read and check params.yaml of a repository, by default that of this process.

    Returns:
        The parameters as an object of the project's schema, with an attribute for each section.

    Raises:
        ConfigError: as for :func:`read_file`.
    """
    root = root or project_root()
    return read_file(root / FILE, _schema(root), project_of(root).sections_from)


def read_file(path: Path, schema: type[BaseModel], sections_from: str = "") -> Any:
    """Read and check a file of parameters.

    Args:
        path: The file.
        schema: Its schema.
        sections_from: Says where sections come from; messages about unknown sections show it.

    Raises:
        ConfigError: naming every key that is unknown, missing or out of range, or the reason why
            the file cannot be read.
    """
    return validated(schema, _read(path), path.name, sections_from)


def read_parameters(name: str, namespace: Mapping[str, Any]) -> Any:
    """Check the parameters of a notebook and return them as one frozen object.

    Args:
        name: The notebook's section of params.yaml.
        namespace: The notebook's ``globals()``; names that are not parameters are ignored.

    Raises:
        ConfigError: naming every parameter that is missing or out of range.
    """
    schema = _schema(project_root())
    if name not in schema.model_fields:
        hint = near_or_all(name, schema.model_fields)
        raise ConfigError(f"{FILE} has no section for the notebook {name!r}; {hint}")
    section: Any = schema.model_fields[name].annotation
    values = {key: namespace[key] for key in section.model_fields if key in namespace}
    return validated(section, values, f"notebook {name}")


def _schema(root: Path) -> type[BaseModel]:
    """Return the schema of a project; without one each value must be of the type that it is now."""
    if schema := project_of(root).schema:
        try:
            return schema()
        except ImportError as error:
            raise ConfigError(f"the schema of {FILE} can't be imported: {error}") from error
    path = root / FILE
    sections: dict[str, Any] = {}
    for name, section in _named(_read(path), path.name).items():
        if name == "sweeps":
            sections[name] = Sweeps, ...
            continue
        values = _named(section, f"{path.name}: {name}")
        types: dict[str, Any] = {key: (_type_beside(value), ...) for key, value in values.items()}
        sections[name] = create_model(name, __base__=Strict, **types), ...
    return create_model("Parameters", __base__=Strict, **sections)


def _type_beside(value: Any) -> Any:
    """Return the type that a notebook's own value may have if params.yaml holds ``value``.

    These are the pairs that :func:`notebook_pipeline.run.contract.check_types` accepts; a notebook
    that is run by hand reads its own value.
    """
    if value is None:
        return Any
    if type(value) is int:  # not int | float: pydantic would tell a mistake once for each
        return Annotated[float | None, WrapValidator(_checked_alone)]
    return type(value) | None


def _checked_alone(value: Any, check: Callable[[Any], Any]) -> Any:
    """Return ``value`` as it is: a whole number stays one."""
    check(value)
    return value


def _named(values: Any, where: str) -> Mapping[str, Any]:
    """Return what must be values by names that a schema can have as attributes."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} is {values!r}; it must map names to values")
    for name in values:
        if not re.fullmatch(r"[A-Za-z]\w*", str(name)) or hasattr(BaseModel, str(name)):
            raise ConfigError(
                f"{where}: {name!r} can't be a name; choose another one that starts with a letter"
            )
    return values


def _read(path: Path) -> Any:
    """Read a file as DVC does: by YAML 1.2, in which 1e-05 is a number, and no key stands twice."""
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        why = f"can't be read: {error.strerror}"
    except UnicodeDecodeError as error:
        why = f"is not UTF-8: {error.reason} at byte {error.start}"
    except MarkedYAMLError as error:
        mark = error.problem_mark
        why = (
            f"is not valid YAML: {error.problem} in line {mark.line + 1}, column {mark.column + 1}"
        )
    except YAMLError as error:
        why = f"is not valid YAML: {error}"
    raise ConfigError(f"{path.name} {why}")


def validated(schema: type[BaseModel], values: Any, where: str, sections_from: str = "") -> Any:
    """Return values as an object of their schema.

    Args:
        schema: The schema.
        values: By name.
        where: What they are of; messages begin with it.
        sections_from: As for :func:`read_file`.

    Raises:
        ConfigError: naming every value that is unknown, missing or out of range.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problems = [_explained(schema, problem, sections_from) for problem in error.errors()]
        raise ConfigError(f"{where}: " + "\n  ".join(problems)) from None


def _explained(schema: type[BaseModel], problem: Any, sections_from: str) -> str:
    """Say what is wrong with a value, by one of pydantic's errors, and what would be right."""
    location, part = _place(schema, [str(part) for part in problem["loc"]])
    key = ".".join(location) or "parameters"
    if location[-1:] == ["[key]"]:
        return (
            f"{'.'.join(location[:-2])}: {problem['input']!r} is not a valid name: {problem['msg']}"
        )
    if problem["type"] == "extra_forbidden":
        hint = near_or_all(location[-1], part.model_fields)
        if location[1:]:
            return f"{key} is not a parameter; {hint}"
        told = f"{key} is not a section; {hint}"
        joint = " " if hint.endswith("?") else "; "
        return f"{told}{joint}{sections_from}" if sections_from else told
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "value_error":
        message = problem["msg"].removeprefix("Value error, ")
        return f"{key}: {message}" if location else message
    return f"{key} is {problem['input']!r}: {problem['msg']}"


def _place(schema: Any, location: Sequence[str]) -> tuple[list[str], Any]:
    """Return where a problem is as the file names it, and the innermost model around it.

    pydantic also names the member of a union that it took, which is no key of the file.
    """
    keys, model, inner = [], schema, schema
    for name in location:
        inner = _given(inner)
        if isclass(inner) and issubclass(inner, BaseModel):
            model = inner
            inner = inner.model_fields[name].annotation if name in inner.model_fields else None
        elif (member := _member(inner, name)) is not None:
            model = inner = member
            continue
        elif arguments := get_args(inner):
            inner = arguments[-1]  # the values of a mapping or a list
        keys.append(name)
    return keys, model


def _given(annotation: Any) -> Any:
    """Return what an annotation such as ``Part | None`` stands for where there is a value."""
    arguments = get_args(annotation)
    given = [one for one in arguments if one is not NoneType]
    inner = given[0] if len(given) == 1 < len(arguments) else annotation
    return get_args(inner)[0] if hasattr(inner, "__metadata__") else inner


def _member(union: Any, tag: str) -> Any:
    """Return the member of a discriminated union that has ``tag``; None where there is none."""
    for member in get_args(union):
        for one in (member, *get_args(member)):
            if isclass(one) and issubclass(one, BaseModel):
                literals = [get_args(f.annotation) for f in one.model_fields.values()]
                if any(tag in values for values in literals):
                    return one
    return None
