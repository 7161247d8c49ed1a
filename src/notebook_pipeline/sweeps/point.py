"""One point of a sweep with one seed, as a worker computes it."""

from __future__ import annotations

import math
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from notebook_pipeline.repository import check_loaded_code


@dataclass(frozen=True)
class Task:
    """What a worker needs to compute a point with one seed: plain data.

    Attributes:
        function: As in :class:`Swept`.
        parameters: What it is given.
        seed: What it is given, too.
        root: The repository.
        environment: Variables that the worker must have.
        is_remote: Whether the worker may have other packages than this machine.
    """

    function: str
    parameters: Mapping[str, Any]
    seed: int
    root: str
    environment: Mapping[str, str]
    is_remote: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        metrics: Numbers by name; None stands for one that isn't finite.
        error: What went wrong in a line; empty if nothing did.
        story: Where it went wrong.
    """

    metrics: Mapping[str, float | None]
    error: str = ""
    story: str = ""


def compute(task: Task) -> Outcome:
    """Compute a point; whatever its function raises is told, not raised."""
    try:
        _check_worker(task)
        module, _, name = task.function.partition(":")
        if (source := str(Path(task.root, "src"))) not in sys.path:
            sys.path.insert(0, source)  # of a worker that was started elsewhere
        with chdir(task.root):
            found = getattr(import_module(module), name)
            metrics = found(dict(task.parameters), task.seed, task.root)
            check_loaded_code(Path(task.root))
        return Outcome({name: _plain(name, value) for name, value in metrics.items()})
    except Exception as error:  # of the project's code, whatever it is
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Outcome({}, told, traceback.format_exc())


def _check_worker(task: Task) -> None:
    """Refuse to compute with other variables or packages than a stage has."""
    for name, text in task.environment.items():
        if os.environ.get(name) != text:
            raise RuntimeError(
                f"the worker has {name}={os.environ.get(name)}; it must be {text}: set it where "
                "the worker starts"
            )
    if task.is_remote and (other := _other_packages(Path(task.root, "requirements.lock"))):
        raise RuntimeError(f"the worker has {other}; install what requirements.lock says")


@cache
def _other_packages(lock: Path) -> str:
    from notebook_pipeline.system.packages import package_differences

    return ", ".join(package_differences(lock)[:3]) if lock.is_file() else ""


def _plain(name: str, value: Any) -> float | None:
    """Return a number that JSON can hold: a NumPy one as Python's own."""
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"{name} is {value!r}; each value that a point returns is a number")
    return number if math.isfinite(number) else None
