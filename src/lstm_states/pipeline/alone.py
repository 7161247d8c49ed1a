"""One at a time in a clone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zc.lockfile

from lstm_states.errors import ReproError


@contextmanager
def alone(what: str, root: Path) -> Iterator[None]:
    """Keep a second process from running the same in the same clone.

    Args:
        what: ``"repro"``, or the name of a configuration or a trial.
        root: The clone.

    Raises:
        ReproError: naming the process that is at it.
    """
    path = root / ".dvc" / "tmp" / f"lstm-states-{what}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = zc.lockfile.LockFile(path)
    except zc.lockfile.LockError:
        raise ReproError(
            f"another run of {what} is under way in {root}, process {path.read_text().strip()}: "
            "wait for its end, or use a clone of your own"
        ) from None
    try:
        yield
    finally:
        lock.close()
