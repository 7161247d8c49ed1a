"""Locks: one process at a time in a clone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zc.lockfile

from notebook_pipeline.errors import ReproError


@contextmanager
def one_at_a_time(what: str, root: Path) -> Iterator[None]:
    """Keep a second process from running the same in the same clone.

    Args:
        what: ``"repro"``, or the name of a notebook.
        root: The clone.

    Raises:
        ReproError: naming the process that is at it.
    """
    path = root / ".dvc" / "tmp" / f"notebook-pipeline-{what}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = zc.lockfile.LockFile(path)
    except zc.lockfile.LockError:
        process = path.read_text(encoding="utf-8").strip()
        raise ReproError(
            f"another run of {what} is active in {root}, process {process}: "
            "wait until it ends, or use another clone"
        ) from None
    try:
        yield
    finally:
        lock.close()
