"""Hand the points of a sweep to workers, and take what they give."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from notebook_pipeline.errors import ReproError
from notebook_pipeline.sweeps.point import Outcome, PointKilledError, Task, compute_apart

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

TRIES = 3
"""How often a point is begun whose process, or worker, is killed."""


def outcomes(client: Client, tasks: Mapping[T, Task], jobs: int) -> Iterator[tuple[T, Outcome]]:
    """Yield what becomes of tasks, as they end.

    Args:
        client: Of the workers.
        tasks: By any name.
        jobs: As many are at work at a time. No more are handed out: one that waits in a worker
            would count as killed with it.

    Raises:
        ReproError: if the workers can't be reached any more.
    """
    from distributed import as_completed

    waiting, tries = deque(tasks), dict.fromkeys(tasks, 0)
    running: dict[Future, T] = {}
    ended = as_completed(loop=client.loop, raise_errors=False)

    def start() -> None:
        name = waiting.popleft()
        tries[name] += 1
        future = client.submit(compute_apart, tasks[name], pure=False)
        running[future] = name
        ended.add(future)

    while len(running) < jobs and waiting:
        start()
    for future in ended:
        name = running.pop(future)
        if (outcome := _outcome(future, tries[name])) is None:
            waiting.appendleft(name)
        if waiting:
            start()
        if outcome:
            yield name, outcome


def _outcome(future: Future, tried: int) -> Outcome | None:
    """Return what became of a task; None if it has to be begun again."""
    from distributed.scheduler import KilledWorker

    if future.status == "finished":
        result: Outcome = future.result()
        return result
    if future.status != "error":
        raise ReproError("the connection to the workers is lost; what they gave before is kept")
    problem = future.exception()
    if not isinstance(problem, KilledWorker | PointKilledError):
        return Outcome({}, f"{type(problem).__name__}: {problem}")
    if tried < TRIES:
        return None
    return Outcome({}, f"its process was killed {TRIES} times, possibly out of memory")
