"""One point of a sweep with one seed: `python -m notebook_pipeline.sweeps.point` computes them.

A worker of Dask doesn't do it itself. Its other threads draw from Python's random numbers, from
which a model may take its first weights; and it has another hash seed than a stage. So each worker
has a process of its own for points, in the environment of a stage, with nothing beside them.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from notebook_pipeline.project import project_of
from notebook_pipeline.repository import LOCK, check_loaded_code
from notebook_pipeline.system.environment import stage_environment
from notebook_pipeline.system.packages import package_differences
from notebook_pipeline.system.signals import end_with_parent


class PointKilledError(Exception):
    """The process that computed a point is gone."""


@dataclass(frozen=True)
class Task:
    """What a worker needs to compute a point with one seed: plain data.

    Attributes:
        function: As in :class:`Swept`.
        parameters: What it is given.
        seed: What it is given, too.
        root: The repository.
        is_remote: Whether the worker may have other packages than this machine.
    """

    function: str
    parameters: Mapping[str, Any]
    seed: int
    root: str
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


def compute_apart(task: Task) -> Outcome:
    """Compute a point in the process that this worker has for them.

    Raises:
        PointKilledError: if that process ends under way.
    """
    process = _process(task.root)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(asdict(task)) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except BrokenPipeError:
        line = ""
    if not line:
        process.wait()
        _process.cache_clear()
        raise PointKilledError(f"its process ended with {process.returncode}")
    return Outcome(**json.loads(line))


@cache
def _process(root: str) -> subprocess.Popen[str]:
    """Start the process of this worker's points; it ends with the worker."""
    source = str(Path(root, "src"))
    if source not in sys.path:
        sys.path.insert(0, source)  # of a worker that was started elsewhere
    environment = stage_environment(os.environ, Path(root), project_of(Path(root)))
    return subprocess.Popen(
        [sys.executable, "-m", "notebook_pipeline.sweeps.point"], cwd=root, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def main() -> None:
    """Compute the points that come in, a line each; an outcome goes out for each."""
    end_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a point prints is no answer
    serve(sys.stdin, answers)


def serve(tasks: IO[str], answers: IO[str]) -> None:
    """Answer each line of ``tasks`` by a line."""
    for line in tasks:
        outcome = compute(Task(**json.loads(line)))
        answers.write(json.dumps(asdict(outcome)) + "\n")
        answers.flush()


def compute(task: Task) -> Outcome:
    """Compute a point; whatever its function raises is told, not raised."""
    try:
        if task.is_remote and (other := _other_packages(Path(task.root))):
            raise RuntimeError(f"the worker has {other}; install what {LOCK} says")
        module, _, name = task.function.partition(":")
        found = getattr(import_module(module), name)
        metrics = found(dict(task.parameters), task.seed, task.root)
        check_loaded_code(Path(task.root))
        return Outcome({name: _plain(name, value) for name, value in metrics.items()})
    except Exception as error:  # of the project's code, whatever it is
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Outcome({}, told, traceback.format_exc())


@cache
def _other_packages(root: Path) -> str:
    return ", ".join(package_differences(root)[:3])


def _plain(name: str, value: Any) -> float | None:
    """Return a number that JSON can hold: a NumPy one as Python's own."""
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"{name} is {value!r}; each value that a point returns is a number")
    return number if math.isfinite(number) else None


if __name__ == "__main__":
    main()
