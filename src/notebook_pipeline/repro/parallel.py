"""Run independent stages in parallel, each by DVC itself, with the plain dvc.yaml."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

import psutil

from notebook_pipeline.cluster.client import cluster_client
from notebook_pipeline.errors import ReproError
from notebook_pipeline.project import project_of
from notebook_pipeline.repro.here import LOGS, Here, wait_for_killed
from notebook_pipeline.repro.plan import Plan, make_plan
from notebook_pipeline.repro.progress import StageLines, make_console
from notebook_pipeline.stages.outputs import FAILED
from notebook_pipeline.system.lock import one_at_a_time

if TYPE_CHECKING:
    from distributed import Client

    from notebook_pipeline.cluster.settings import ClusterSettings

CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")

TICK = 0.2
"""Seconds between two looks at what runs."""


def default_jobs(memory_a_stage: int) -> int:
    """Return how many stages this machine has cores and memory for, at least 1.

    A stage may compute with two threads, but starts, traces and draws with one: on two cores two
    stages take three quarters of the time of one after the other. A container's limits count, and
    so does LOKY_MAX_CPU_COUNT.

    Args:
        memory_a_stage: Bytes that the largest stage needs.
    """
    import joblib  # here: it imports NumPy, which a `repro` that finds nothing to do can spare

    memory = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # there is no such file, or it says "max"
        memory = min(memory, int(CONTAINER_MEMORY.read_text(encoding="utf-8")))
    return max(1, min(joblib.cpu_count(), memory // memory_a_stage))


def reproduce(root: Path, jobs: int | None, settings: ClusterSettings | None = None) -> Plan:
    """Bring all stages up to date, at most ``jobs`` of them at a time, or as many as fit.

    A stage starts once all that it depends on is up to date. Where one fails, those that need it
    are left out, all others run, and the pages are made of what there is. Interrupted, or asked to
    terminate, it interrupts those under way and waits for them.

    Args:
        root: The clone.
        jobs: The most that run at a time; by default as many as cluster.yaml says, or as fit.
        settings: Of cluster.yaml; None for processes of this machine.

    Returns:
        What DVC said of the stages before; if none had changed, nothing was done.

    Raises:
        ReproError: if a stage failed, with the end of its log and what was left out; or if DVC
            refuses the pipeline, or another `repro` is under way in this clone. Then
            nothing was started.
    """
    with one_at_a_time("repro", root):
        wait_for_killed(root)
        plan = make_plan(root)
        if not plan.changed:
            return plan
        jobs = jobs or (settings and settings.jobs) or default_jobs(project_of(root).memory)
        if jobs > 1 and plan.notebooks:
            # Imported here: it takes seconds that nothing to do doesn't need.
            from notebook_pipeline import mlflow_runs

            mlflow_runs.connect(root)  # MLflow makes its tables before several runs ask for them
        (root / LOGS).mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        with (
            _stop_signals() as stop,
            cluster_client(settings, min(jobs, len(plan.needs))) as client,
            StageLines(plan.needs, make_console()) as lines,
        ):
            site = _site(client, root, environment, plan, settings)
            pipeline = _Pipeline(plan, site, lines, root / FAILED)
            pipeline.run(jobs, stop)
        if pipeline.failed:
            raise _failure(pipeline, site, root, plan.notebooks)
        return plan


def _site(
    client: Client,
    root: Path,
    environment: Mapping[str, str],
    plan: Plan,
    settings: ClusterSettings | None,
) -> Here:
    if settings is None or settings.kind == "local":
        return Here(client, root, environment)
    from notebook_pipeline.repro.there import There

    return There(client, root, environment, plan.notebooks, remote=settings.remote)


def _failure(
    pipeline: _Pipeline, site: Here, root: Path, notebooks: Mapping[str, str]
) -> ReproError:
    """Return what is to be said of stages that failed, once the pages are made without them."""
    from notebook_pipeline.repro.partial_pages import write_pages

    without = dict.fromkeys(pipeline.failed, "failed") | {
        stage: f"skipped: needs {' and '.join(failed)}"
        for stage, failed in pipeline.left_out.items()
    }
    told = [f"{stage} failed. {site.story(stage)}" for stage in pipeline.failed]
    told += ["\n".join(f"{stage}: {without[stage]}" for stage in pipeline.left_out)]
    told += ["\n".join(write_pages(root, without, notebooks))]
    return ReproError("\n\n".join(filter(None, told)))


class _Stop:
    """What signals set.

    A handler may be interrupted by another one. It would wait for ever for a lock that the first
    one holds, such as that of a `threading.Event`.
    """

    def __init__(self) -> None:
        self.is_set = False

    def set(self, *_: object) -> None:
        self.is_set = True

    def wait(self) -> bool:
        """Wait for a moment; return whether it is set."""
        sleep(TICK)
        return self.is_set


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """Yield what is set by Ctrl-C, by SIGTERM, and by closing the terminal unless nohup is used.

    No exception interrupts what is being done, such as starting a process. And since these
    signals have handlers here, they have their usual effect in processes started from here.
    """
    stop = _Stop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    kept = {number: signal.signal(number, stop.set) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


class _Pipeline:
    """The stages: which wait, which run on workers, and which have ended."""

    def __init__(self, plan: Plan, site: Here, lines: StageLines, attempts: Path) -> None:
        self._measuring = plan.measuring
        self._notebooks = {stage: name for name, stage in plan.notebooks.items()}
        self._needs = plan.needs
        self._changed = set(plan.changed)  # by themselves, or perhaps by what they depend on
        self._site = site
        self._lines = lines
        self._attempts = attempts
        self._waiting = list(plan.needs)
        self._running: list[str] = []
        self._ended: set[str] = set()
        self.failed: list[str] = []
        self.left_out: dict[str, list[str]] = {}  # each with the failed stages that it needs

    def run(self, jobs: int, stop: _Stop) -> None:
        """Run all stages that have changed, but for those that need one that failed.

        Raises:
            KeyboardInterrupt: once all that ran has ended.
        """
        try:
            while self._waiting or self._running:
                self._start(jobs)
                if stop.wait():
                    raise KeyboardInterrupt
                self._gather()
        except BaseException:
            self._interrupt(stop)
            raise
        for stage in self._needs:  # once more: others may have failed later
            if stage in self.left_out:
                self.left_out[stage] = self._failed_needs(stage)

    def _start(self, jobs: int) -> None:
        """Start what can start now, and note what doesn't have to or never can."""
        for stage in sorted(self._waiting, key=self._measuring.__contains__):
            ready = self._needs[stage] <= self._ended
            if failed := self._failed_needs(stage):
                self.left_out[stage] = failed
                self._lines.end(stage, f"skipped: needs {' and '.join(failed)}")
            elif ready and stage not in self._changed:
                self._end(stage, "unchanged")
            elif ready and self._has_room(stage, jobs):
                self._lines.start(stage)
                self._site.start(stage)
                self._running.append(stage)
        gone = {*self._running, *self._ended, *self.left_out}
        self._waiting = [stage for stage in self._waiting if stage not in gone]

    def _failed_needs(self, stage: str) -> list[str]:
        """Return the failed stages that a stage needs, by others or by itself."""
        needed = self._needs[stage]
        found = needed.union(*(self.left_out.get(other, ()) for other in needed))
        return [failed for failed in self.failed if failed in found]

    def _has_room(self, stage: str, jobs: int) -> bool:
        if self._measuring & {stage, *self._running}:
            return not self._running
        return len(self._running) < jobs

    def _gather(self) -> None:
        """Note which stages have ended, and how."""
        for stage in list(self._running):
            state = self._site.state(stage)
            if why := self._site.again(stage):
                self._lines.restart(stage, why)
            if not state:
                name = self._notebooks.get(stage)
                attempt = self._attempts / name if name else None
                self._lines.advance(stage, self._site.cells(stage), attempt)
                continue
            self._running.remove(stage)
            if state == "failed":
                self.failed.append(stage)
                log = self._site.log(stage).name
                self._lines.end(stage, "failed", f"{LOGS}/{log}")
            else:
                self._end(stage, state)

    def _end(self, stage: str, state: str) -> None:
        self._lines.end(stage, state)
        self._ended.add(stage)
        if state != "unchanged":
            self._changed |= {other for other, needs in self._needs.items() if stage in needs}

    def _interrupt(self, stop: _Stop) -> None:
        """Interrupt what runs and wait for all its processes; another signal kills them."""
        stop.is_set = False
        while self._site.end(kill=stop.is_set):
            stop.wait()
        for stage in self._running:
            self._lines.end(stage, "stopped")
