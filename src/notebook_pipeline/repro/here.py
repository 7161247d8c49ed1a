"""Stages on workers of this machine, which run them in the clone itself."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING
from uuid import uuid4

import psutil

from notebook_pipeline.repro.progress import last_lines, read_cells

if TYPE_CHECKING:
    from distributed import Client, Future

LOGS = Path("reports/logs")

ONE_STAGE = "notebook_pipeline.repro.one_stage"

LOST = "Its worker was killed, possibly out of memory.\n"

PATIENCE = 60
"""Half seconds that the process of a stage has to end once its worker is gone."""


class Here:
    """The stages that run on workers of this machine: each in a process of its own.

    Their logs are in ``reports/logs``, and their runs in MLflow are live.
    """

    def __init__(self, client: Client, root: Path) -> None:
        self._client = client
        self._root = root
        self._driver = uuid4().hex
        self._futures: dict[str, Future] = {}

    def start(self, stage: str) -> None:
        """Give a stage to a worker."""
        from notebook_pipeline.repro.stage_process import run_in_clone

        log = self.log(stage)
        log.write_bytes(b"")
        self._futures[stage] = self._client.submit(
            run_in_clone, stage, str(self._root), str(log), self._driver,
            key=f"{stage}-{uuid4().hex}", pure=False, retries=0,
        )  # fmt: skip

    def state(self, stage: str) -> str:
        """Return how a stage has ended: "done", "restored", "unchanged" or "failed"; "" if not."""
        future = self._futures[stage]
        if not future.done():
            return ""
        del self._futures[stage]
        if future.status != "finished":
            self._lost(stage, future)
            return "failed"
        return self._outcome(stage) if future.result() == 0 else "failed"

    def cells(self, stage: str) -> str:
        """Return how far the notebook of a stage is, such as "cell 9/20"."""
        return read_cells(self.log(stage))

    def end(self, *, kill: bool) -> bool:
        """Have all stages interrupted, or killed; return whether any still runs."""
        from notebook_pipeline.repro.stage_process import end_stages

        running = self._client.run(end_stages, self._driver, kill, on_error="ignore")
        return any(running.values())

    def log(self, stage: str) -> Path:
        """Return the path of the log of a stage."""
        # A stage of `dvc add` is called by its file's path.
        return self._root / LOGS / f"{stage.replace('/', '-')}.log"

    def story(self, stage: str) -> str:
        """Return how the log of a stage ends."""
        log = self.log(stage)
        return f"Its log ends with:\n{last_lines(log)}\nThe full log is {LOGS}/{log.name}"

    def _lost(self, stage: str, future: Future) -> None:
        """Note in the log of a stage that it has lost its worker, and let its process end."""
        from distributed import KilledWorker

        error = future.exception()
        why = LOST if isinstance(error, KilledWorker) else f"{type(error).__name__}: {error}\n"
        with self.log(stage).open("a", encoding="utf-8") as log:
            log.write(f"\n{why}")
        for _ in range(PATIENCE):
            if not any(self._is_of(stage, process) for process in psutil.process_iter()):
                return
            sleep(0.5)

    def _is_of(self, stage: str, process: psutil.Process) -> bool:
        """Whether a process is DVC's for a stage of this clone, or was started by it."""
        with suppress(psutil.Error):
            if process.cmdline()[-2:] == [ONE_STAGE, stage]:
                return process.cwd() == str(self._root)
            variables = process.environ()
            return (variables.get("DVC_ROOT"), variables.get("DVC_STAGE")) == (
                str(self._root), stage,
            )  # fmt: skip
        return False

    def _outcome(self, stage: str) -> str:
        log = self.log(stage).read_text(errors="replace", encoding="utf-8")
        if f"Running stage '{stage}'" in log:
            return "done"
        return "restored" if f"Stage '{stage}' is cached" in log else "unchanged"
