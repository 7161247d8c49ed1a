"""JupyterLab as people start it, on loopback, without a browser of its own."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clone import Clone


@contextmanager
def serving(clone: Clone, *command: str) -> Iterator[str]:
    """Run a command that starts JupyterLab and yield the first address that it prints."""
    root = ["--allow-root"] if os.geteuid() == 0 else []
    log = clone.path.parent / "lab.log"
    with log.open("w", encoding="utf-8") as file:
        server = subprocess.Popen(
            [*command, "--no-browser", "--port=0", *root],
            cwd=clone.path, env=clone.environment(), stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield _address(log, server)
    finally:
        server.terminate()
        server.wait(timeout=30)


def _address(log: Path, server: subprocess.Popen) -> str:
    for _ in range(120):
        if found := re.search(
            r"http://127\.0\.0\.1:\d+/lab\S*\?token=\S+", log.read_text(encoding="utf-8")
        ):
            return found[0]
        assert server.poll() is None, log.read_text(encoding="utf-8")
        time.sleep(0.5)
    raise TimeoutError(log.read_text(encoding="utf-8"))
