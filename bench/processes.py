"""Start the competitors' processes and talk to them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.competitors import Competitor

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / "bench" / ".env"

Answer = dict[str, Any]


class Worker:
    """A competitor's process.

    Attributes:
        competitor: Who it is.
        start: The answer to the first request: versions, or why it doesn't run.
    """

    def __init__(self, competitor: Competitor, logs: Path) -> None:
        self.competitor = competitor
        self.start: Answer = {}
        self._log = logs / f"{competitor.name}.log"
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bench.worker", competitor.module, str(theirs.fileno())],
                **{"cwd": ROOT, "env": environment(competitor.folder), "stdin": subprocess.DEVNULL},
                **{"stdout": log, "stderr": log, "pass_fds": [theirs.fileno()]},
            )
        self._connection = Connection(ours.detach())
        self._send(do="describe")  # answered while the other processes start

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def await_start(self, timeout: float = 180) -> Answer:
        """Wait until the process has imported everything; may be called once."""
        self.start = self._answer(timeout)
        return self.start

    def ask(self, timeout: float = 600, **request: Any) -> Answer:
        """Send a request and return its answer, whose ``status`` is "ok" or says why not."""
        try:
            self._send(**request)
        except OSError:
            return self._dead()
        return self._answer(timeout)

    def stop(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.terminate()
        self._process.wait()

    def _send(self, **request: Any) -> None:
        self._connection.send_bytes(json.dumps(request).encode())

    def _answer(self, timeout: float) -> Answer:
        try:
            if not self._connection.poll(timeout):
                self._process.kill()
                return {"status": "failed", "error": f"no answer within {timeout:.0f} s"}
            answer = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            return self._dead()
        if "error" in answer:
            answer["error"] = without_paths(answer["error"])
        return answer

    def _dead(self) -> Answer:
        code = self._process.wait(10)
        lines = self._log.read_text(errors="replace", encoding="utf-8").strip().splitlines()
        last = without_paths(lines[-1]) if lines else "no message"
        return {"status": "failed", "error": f"the process ended with code {code}: {last}"}


def installed(competitor: Competitor) -> bool:
    """Whether `make bench-env` has installed what the competitor needs."""
    return not competitor.folder or (ENVIRONMENTS / competitor.folder).is_dir()


def environment(folder: str = "") -> dict[str, str]:
    """Return the variables of a process, its packages in ``folder`` before the project's own."""
    paths = [str(ENVIRONMENTS / folder)] if folder else []
    paths += [path for path in [os.environ.get("PYTHONPATH")] if path]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(paths)}


def run_python(*arguments: str, folder: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, its packages in ``folder`` before the project's own."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment(folder), capture_output=True,
        encoding="utf-8", check=False,
    )  # fmt: skip


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that a process has printed.

    Raises:
        CalledProcessError: if it has failed.
    """
    done.check_returncode()
    return done.stdout.splitlines()[-1]


def without_paths(line: str) -> str:
    """Shorten a message: the result is published, this machine's folders are nobody's business."""
    return re.sub(r"(?:/[\w.+-]+){2,}/", "…/", line)[:300]
