"""What DVC's own file of who reads and writes what tells, also after a process was killed."""

from __future__ import annotations

import json
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import zc.lockfile

FILE = Path(".dvc/tmp/rwlock")


def holders(root: Path) -> dict[int, str]:
    """Return who reads or writes files of a clone: the command, by the number of the process."""
    with suppress(ValueError):
        kept = _read(root)
        found = chain(kept.get("write", {}).values(), *kept.get("read", {}).values())
        return {one["pid"]: one["cmd"] for one in found}
    return {}


def drop_torn_rwlock(root: Path) -> None:
    """Remove the file if a process was killed while it wrote it.

    DVC rewrites it in place, and refuses every command once it holds half of it.
    """
    if _is_torn(root):
        # Whoever holds the lock is writing the file, or has found it torn, too.
        with suppress(zc.lockfile.LockError), closing(zc.lockfile.LockFile(root / f"{FILE}.lock")):
            if _is_torn(root):
                (root / FILE).unlink()


def _is_torn(root: Path) -> bool:
    try:
        _read(root)
    except ValueError:
        return True
    return False


def _read(root: Path) -> dict[str, Any]:
    try:
        text = (root / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return dict(json.loads(text))
