"""What DVC's own lock leaves when a process is killed."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from pathlib import Path

import zc.lockfile


def drop_torn_rwlock(root: Path) -> None:
    """Remove DVC's file of who reads and writes what, if a process was killed while it wrote it.

    DVC rewrites the file in place, and refuses every command once it holds half of it.
    """
    path = root / ".dvc/tmp/rwlock"
    if _is_torn(path):
        # Whoever holds the lock is writing the file, or has found it torn, too.
        with suppress(zc.lockfile.LockError), closing(zc.lockfile.LockFile(f"{path}.lock")):
            if _is_torn(path):
                path.unlink()


def _is_torn(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False
