"""Stages on workers of a cluster, each in a throwaway clone; what they make comes back by content.

Nothing of the clone here is shared with them but DVC's cache, or its remote. DVC itself takes over
what a worker has made: this is the only place that writes dvc.lock. Stages whose outputs DVC can't
hand on run here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_pipeline.errors import ReproError
from notebook_pipeline.repro.here import Here
from notebook_pipeline.repro.stage_process import start_one_stage
from notebook_pipeline.stages.outputs import FAILED
from notebook_pipeline.stages.provenance import write_run
from notebook_pipeline.stages.states import open_repo
from notebook_pipeline.stages.store_address import file_of, store_uri
from notebook_pipeline.system.packages import engine_digest

if TYPE_CHECKING:
    from distributed import Client

MOST_STARTS = 2
"""How often a stage starts whose worker comes to the end of its time."""

ENTRY = re.compile(r"runs/[0-9a-f]{2}/[0-9a-f]{64}/[0-9a-f]{64}")
OBJECT = re.compile(r"files/md5/([0-9a-f]{2})/([0-9a-f]{30})(\.dir)?")


class There(Here):
    """The stages that run on workers of a cluster.

    Args:
        client: Of the cluster.
        root: The clone.
        environment: Of the driver before it reached workers.
        notebooks: The stages that run notebooks, by the notebook's name.
        remote: Whether files go through DVC's default remote, not through a cache that all share.
    """

    def __init__(
        self,
        client: Client,
        root: Path,
        environment: Mapping[str, str],
        notebooks: Mapping[str, str],
        *,
        remote: bool,
    ) -> None:
        super().__init__(client, root, environment)
        self._notebooks = {stage: name for name, stage in notebooks.items()}
        self._remote = remote
        self._engine = engine_digest()
        with open_repo(root) as repo:
            self._cache = Path(repo.cache.local_cache_dir)
        self._begins: dict[str, list[str]] = {}
        self._told: dict[str, int] = {}
        self._cells: dict[str, str] = {}
        self._records: dict[str, bytes] = {}
        self._sizes: dict[str, int] = {}  # of the logs that workers have sent
        self._here: dict[str, subprocess.Popen[bytes]] = {}
        client.subscribe_topic(self.driver, self._hear)

    def start(self, stage: str) -> None:
        """Send a stage with the files of the clone as they are now."""
        from notebook_pipeline.repro.snapshot import files_of, pack
        from notebook_pipeline.repro.worker_clone import PYTHON, Dispatch, run_dispatched

        self.log(stage).write_bytes(b"")
        self._begins[stage], self._told[stage] = [], 1
        files, name = files_of(self.root, stage), self._notebooks.get(stage, "")
        if not files.is_portable:
            self._run_one(stage)
            return
        server = store_uri(self.root)
        dispatch = Dispatch(
            stage=stage, driver=self.driver, packed=pack(self.root, files.other),
            needed=files.cached, uncached=files.uncached,
            report=f"reports/{name}" if name else "",
            attempt=f"{FAILED}/{name}" if name else "",
            cache=None if self._remote else str(self._cache),
            tracking=None if file_of(server) else server, engine=self._engine, python=PYTHON,
        )  # fmt: skip
        self.submit(stage, run_dispatched, asdict(dispatch))

    def state(self, stage: str) -> str:
        """Return how a stage has ended, as :meth:`Here.state`."""
        if stage in self._here:
            return self._ended_here(stage)
        future = self.futures[stage]
        if len(self._begins[stage]) > MOST_STARTS:
            future.cancel()
            del self.futures[stage]
            self.note(stage, f"It has lost its worker {MOST_STARTS} times: it takes longer than "
                             "the lifetime of a worker, or than the walltime")  # fmt: skip
            return "failed"
        if not future.done():
            return ""
        if future.status == "cancelled" or self.client.status != "running":
            raise ReproError(
                "the scheduler is lost, and with it the stages that ran. Those that had ended are "
                "recorded; run it again for the others"
            )
        del self.futures[stage]
        if future.status != "finished":
            self.lose(stage, future)
            return "failed"
        return self._receive(stage, future.result())

    def cells(self, stage: str) -> str:
        """Return how far the notebook of a stage is; a worker may not have been found yet."""
        if stage in self._here:
            return super().cells(stage)
        return self._cells.get(stage, "") if self._begins[stage] else "waits for a worker"

    def again(self, stage: str) -> str:
        """Return, once, that a stage has begun anew on another worker, and why; else ""."""
        begins = self._begins[stage]
        if len(begins) <= self._told[stage]:
            return ""
        self._told[stage] = len(begins)
        return "its worker was lost or came to the end of its time, another one began it anew"

    def end(self, *, kill: bool) -> bool:
        """Have all stages interrupted, or killed; return whether any still runs."""
        running = [process for process in self._here.values() if process.poll() is None]
        for process in running:
            os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGINT)
        if self.client.status != "running":
            return bool(running)
        return super().end(kill=kill) or bool(running)

    def _hear(self, event: tuple[float, Any]) -> None:
        """Note what a worker tells of a stage."""
        told = event[1]
        if "began" in told:
            self._begins[told["stage"]].append(told["began"])
        else:
            self._cells[told["stage"]] = told["cells"]

    def _receive(self, stage: str, told: Mapping[str, Any]) -> str:
        """Keep what a worker has sent, and have DVC take over what it has made."""
        from notebook_pipeline.repro.worker_clone import Returned

        returned = Returned(**told)
        self.log(stage).write_bytes(returned.log)
        if returned.status:
            self._keep_attempt(stage, returned.attempt)
            return "failed"
        for name, content in returned.objects.items():
            self._keep_object(name, content)
        self._records[stage] = returned.record
        self._sizes[stage] = len(returned.log)
        self._run_one(stage, "--restore", *(["--pull"] if self._remote else []))
        return ""

    def _run_one(self, stage: str, *options: str) -> None:
        """Run `one_stage` here, in the clone: to take a stage over, or since DVC can't."""
        with self.log(stage).open("ab") as log:
            self._here[stage] = start_one_stage([stage, *options], self.root, log, self.environment)

    def _ended_here(self, stage: str) -> str:
        """Return how a stage has ended once DVC has its outputs here; "" until then."""
        status = self._here[stage].poll()
        if status is None:
            return ""
        del self._here[stage]
        record, size = self._records.pop(stage, b""), self._sizes.pop(stage, 0)
        if status:
            return "failed"
        self._keep_record(stage, record)
        here = self.outcome(stage, size)
        return here if here == "unchanged" else self.outcome(stage)

    def _keep_object(self, name: str, content: bytes) -> None:
        """Put a file into DVC's cache that a worker has sent, if it is what its name says."""
        found = OBJECT.fullmatch(name)
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if not ENTRY.fullmatch(name) and not (found and found[1] + found[2] == digest):
            raise ReproError(f"a worker has sent {name!r}, which is no object of DVC's cache")
        path = self._cache / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(f"{path.name}.{os.getpid()}")
            new.write_bytes(content)
            new.replace(path)

    def _keep_attempt(self, stage: str, files: Mapping[str, bytes]) -> None:
        """Keep the files of a failed attempt where those of one here would be."""
        if not files:
            return
        folder = (self.root / FAILED / self._notebooks[stage]).resolve()
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in files.items():
            path = (folder / name).resolve()
            if not path.is_relative_to(folder):
                raise ReproError(f"a worker has sent {name!r}, which is no file of its attempt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _keep_record(self, stage: str, record: bytes) -> None:
        """Keep the record of a run; one that was in the worker's own store is made anew here."""
        if not record:
            return
        from notebook_pipeline.mlflow_runs import git_state

        git, name = git_state(self.root), self._notebooks[stage]
        kept = json.loads(record) | {"commit": git.commit, "dirty": git.dirty}
        kept.pop("git", None)
        if file_of(store_uri(self.root)):
            kept |= {"run": "", "store": ""}
        write_run(self.root / "reports" / name, kept)
