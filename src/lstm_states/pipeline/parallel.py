"""Run independent stages side by side, each by DVC itself, with the plain dvc.yaml."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event
from time import monotonic

import joblib
import psutil
from dvc.repo.reproduce import plan_repro
from rich.console import Console

from lstm_states.errors import ReproError
from lstm_states.pipeline.alone import alone
from lstm_states.pipeline.progress import StageLines, last_lines, read_cells
from lstm_states.pipeline.stages import open_repo

CORES_A_STAGE = 2
"""Threads that a stage computes with."""

MEMORY_A_STAGE = 3 * 2**30
"""Bytes that the largest stage needs."""

CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")

ALONE = frozenset({"trial@cost"})
"""Stages that measure time: nothing runs beside them."""

LOGS = Path("reports/logs")

TICK = 0.2
"""Seconds between two looks at what runs."""

PATIENCE = 60.0
"""Seconds that an interrupted stage has to end by itself."""


def default_jobs() -> int:
    """Return how many stages this machine has cores and memory for, at least 1.

    A container's limits count, and so does LOKY_MAX_CPU_COUNT.
    """
    memory = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # there is no such file, or it says "max"
        memory = min(memory, int(CONTAINER_MEMORY.read_text()))
    return max(1, min(joblib.cpu_count() // CORES_A_STAGE, memory // MEMORY_A_STAGE))


def reproduce(root: Path, jobs: int) -> bool:
    """Bring all stages up to date, at most ``jobs`` of them at a time.

    A stage starts once all that it depends on is up to date. Where one fails, those under way end
    by themselves, and nothing more starts. Interrupted, or asked to terminate, it interrupts
    those under way and waits for them.

    Returns:
        Whether there was anything to do.

    Raises:
        ReproError: if a stage failed, with the end of its log; or if DVC refuses the pipeline, or
            another `lstm-states repro` is under way in this clone. Then nothing was started.
    """
    with alone("repro", root):
        needs, changed = _look(root)
        if not changed:
            return False
        if jobs > 1:
            # Imported here: it takes seconds that nothing to do doesn't need.
            from lstm_states import tracking

            tracking.connect(root)  # MLflow makes its tables before several runs ask for them
        (root / LOGS).mkdir(parents=True, exist_ok=True)
        with _stop_signals() as stop, StageLines(needs, Console()) as lines:
            _Pipeline(root, needs, changed, lines).run(jobs, stop)
    return True


def _look(root: Path) -> tuple[dict[str, set[str]], set[str]]:
    """Return the stages that each stage needs, in DVC's order, and the stages that have changed."""
    with open_repo(root) as repo:
        changed = set(repo.status())
        graph = repo.index.graph
        needs = {
            stage.addressing: {other.addressing for other in graph.successors(stage)}
            for stage in plan_repro(graph)
        }
    return needs, changed


@contextmanager
def _stop_signals() -> Iterator[Event]:
    """Yield what is set by Ctrl-C, by SIGTERM, and by closing the terminal unless nohup is used.

    No exception interrupts what is being done, such as starting a process. And since these
    signals have handlers here, they have their usual effect in processes started from here.
    """
    stop = Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    kept = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


class _Pipeline:
    """The stages: which wait, which run, each as a `dvc repro` of its own, and which have ended."""

    def __init__(
        self, root: Path, needs: dict[str, set[str]], changed: set[str], lines: StageLines
    ) -> None:
        self._root = root
        self._needs = needs
        self._changed = changed  # by themselves, or perhaps by what they depend on
        self._lines = lines
        self._waiting = list(needs)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: set[str] = set()
        self._failed: list[str] = []

    def run(self, jobs: int, stop: Event) -> None:
        """Run all stages that have changed.

        Raises:
            KeyboardInterrupt: once all that ran has ended.
            ReproError: if a stage failed.
        """
        try:
            while self._start(jobs):
                if stop.wait(TICK):
                    raise KeyboardInterrupt
                self._gather()
        except BaseException:
            self._interrupt(stop)
            raise
        if self._failed:
            raise ReproError("\n\n".join(map(self._story, self._failed)))

    def _start(self, jobs: int) -> bool:
        """Start what can start now and return whether anything runs."""
        for stage in sorted(self._waiting, key=ALONE.__contains__):
            ready = self._needs[stage] <= self._ended
            if ready and stage not in self._changed:
                self._end(stage, "unchanged")
            elif ready and not self._failed and self._has_room(stage, jobs):
                self._lines.start(stage)
                self._running[stage] = self._repro(stage)
        self._waiting = [s for s in self._waiting if s not in {*self._running, *self._ended}]
        return bool(self._running)

    def _has_room(self, stage: str, jobs: int) -> bool:
        if ALONE & {stage, *self._running}:
            return not self._running
        return len(self._running) < jobs

    def _repro(self, stage: str) -> subprocess.Popen[bytes]:
        # A session of its own: the terminal's Ctrl-C comes to us alone, and we pass it on.
        with self._log(stage).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "lstm_states.pipeline.dvc_stage", stage],
                cwd=self._root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _gather(self) -> None:
        """Note which stages have ended, and how."""
        for stage, process in list(self._running.items()):
            if process.poll() is None:
                self._lines.advance(stage, read_cells(self._log(stage)))
                continue
            del self._running[stage]
            self._end(stage, self._outcome(stage) if process.returncode == 0 else "failed")

    def _end(self, stage: str, state: str) -> None:
        self._lines.end(stage, state)
        if state == "failed":
            self._failed.append(stage)
            return
        self._ended.add(stage)
        if state != "unchanged":
            self._changed |= {other for other, needs in self._needs.items() if stage in needs}

    def _outcome(self, stage: str) -> str:
        log = self._log(stage).read_text(errors="replace")
        if f"Running stage '{stage}'" in log:
            return "done"
        return "restored" if f"Stage '{stage}' is cached" in log else "unchanged"

    def _interrupt(self, stop: Event) -> None:
        """Interrupt what runs and wait for all its processes; another signal kills them."""
        stop.clear()
        family = {psutil.Process(process.pid) for process in self._running.values()}
        for leader in family:
            # The stage's command, and DVC above it. A kernel, in a session of its own, is shut
            # down by what started it: interrupted itself, it would tell of a cell that failed.
            with suppress(ProcessLookupError):
                os.killpg(leader.pid, signal.SIGINT)
        alive, until = family, monotonic() + PATIENCE
        while alive and not stop.is_set() and monotonic() < until:
            for one in list(alive):
                with suppress(psutil.NoSuchProcess):
                    alive |= set(one.children(recursive=True))
            alive = set(psutil.wait_procs(alive, timeout=TICK)[1])
        for one in alive:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        for stage in self._running:
            self._lines.end(stage, "stopped")

    def _log(self, stage: str) -> Path:
        return self._root / LOGS / f"{stage}.log"

    def _story(self, stage: str) -> str:
        log = self._log(stage)
        return (
            f"{stage} failed. Its log ends with:\n{last_lines(log)}\n"
            f"All of it is in {log.relative_to(self._root)}"
        )
