"""Stages on workers of this machine, which run them in the clone itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING
from uuid import uuid4

import psutil

from notebook_pipeline.repro.progress import last_lines, read_cells
from notebook_pipeline.stages.rwlock import holders

if TYPE_CHECKING:
    from distributed import Client, Future

LOGS = Path("reports/logs")

LOST = "Its worker was killed, possibly out of memory."

PATIENCE = 60
"""Half seconds that the process of a stage has to end once its worker is gone."""


class Here:
    """The stages that run on workers of this machine: each in a process of its own.

    Their logs are in ``reports/logs``, and their runs in MLflow are live.

    Args:
        client: Of the workers.
        root: The clone.
        environment: Of the driver before it started workers; Dask gives these another one.
    """

    def __init__(self, client: Client, root: Path, environment: Mapping[str, str]) -> None:
        self.client = client
        self.root = root
        self.environment = dict(environment)
        self.driver = uuid4().hex
        self.futures: dict[str, Future] = {}

    def start(self, stage: str) -> None:
        """Give a stage to a worker."""
        from notebook_pipeline.repro.stage_process import run_in_clone

        log = self.log(stage)
        log.write_bytes(b"")
        told = stage, str(self.root), str(log), self.driver, self.environment
        self.submit(stage, run_in_clone, *told)

    def submit(self, stage: str, function: Callable[..., object], *arguments: object) -> None:
        """Have a worker call a function for a stage, once."""
        key = f"{stage}-{uuid4().hex}"
        self.futures[stage] = self.client.submit(
            function, *arguments, key=key, pure=False, retries=0
        )

    def state(self, stage: str) -> str:
        """Return how a stage has ended: "done", "restored", "unchanged" or "failed"; "" if not."""
        future = self.futures[stage]
        if not future.done():
            return ""
        del self.futures[stage]
        if future.status != "finished":
            self.lose(stage, future)
            self._wait_for_processes(stage)
            return "failed"
        return self.outcome(stage) if future.result() == 0 else "failed"

    def cells(self, stage: str) -> str:
        """Return how far the notebook of a stage is, such as "cell 9/20"."""
        return read_cells(self.log(stage))

    def again(self, stage: str) -> str:
        """Return why a stage has begun anew since the last call; "" if it has not."""
        return ""

    def end(self, *, kill: bool) -> bool:
        """Have all stages interrupted, or killed; return whether any still runs."""
        from notebook_pipeline.repro.stage_process import end_stages

        running = self.client.run(end_stages, self.driver, kill, on_error="ignore")
        return any(running.values())

    def log(self, stage: str) -> Path:
        """Return the path of the log of a stage."""
        # A stage of `dvc add` is called by its file's path.
        return self.root / LOGS / f"{stage.replace('/', '-')}.log"

    def story(self, stage: str) -> str:
        """Return how the log of a stage ends."""
        log = self.log(stage)
        return f"Its log ends with:\n{last_lines(log)}\nThe full log is {LOGS}/{log.name}"

    def note(self, stage: str, text: str) -> None:
        """Add a line to the log of a stage."""
        with self.log(stage).open("a", encoding="utf-8") as log:
            log.write(f"\n{text}\n")

    def lose(self, stage: str, future: Future) -> None:
        """Note in the log of a stage why its worker has not come to an end with it."""
        from distributed import KilledWorker

        error = future.exception()
        is_killed = isinstance(error, KilledWorker)
        self.note(stage, LOST if is_killed else f"{type(error).__name__}: {error}")

    def outcome(self, stage: str, begin: int = 0) -> str:
        """Return what DVC did with a stage that has not failed, by its log from a byte on."""
        text = self.log(stage).read_bytes()[begin:].decode(errors="replace")
        if f"Running stage '{stage}'" in text:
            return "done"
        return "restored" if f"Stage '{stage}' is cached" in text else "unchanged"

    def _wait_for_processes(self, stage: str) -> None:
        """Wait for the processes of a stage that have lost their worker, and end for that."""
        for _ in range(PATIENCE):
            if not any(self._is_of(stage, process) for process in psutil.process_iter()):
                return
            sleep(0.5)

    def _is_of(self, stage: str, process: psutil.Process) -> bool:
        """Whether a process is DVC's for a stage of this clone, or was started by it."""
        from notebook_pipeline.repro.stage_process import ONE_STAGE

        with suppress(psutil.Error):
            if process.cmdline()[-2:] == [ONE_STAGE, stage]:
                return process.cwd() == str(self.root)
            variables = process.environ()
            found = variables.get("DVC_ROOT"), variables.get("DVC_STAGE")
            return found == (str(self.root), stage)
        return False


def wait_for_killed(root: Path) -> None:
    """Wait for stages of a driver that was killed a moment ago, and end for that.

    DVC refuses what they hold as long as there are processes of their numbers, dead ones that
    nobody has buried yet included.
    """
    for _ in range(PATIENCE):
        if not any(_holds(process, command) for process, command in holders(root).items()):
            return
        sleep(0.5)


def _holds(process: int, command: str) -> bool:
    """Whether a process that DVC's file names is there, and runs a stage."""
    from notebook_pipeline.repro.stage_process import ONE_STAGE

    return ONE_STAGE.replace(".", "/") in command and psutil.pid_exists(process)
