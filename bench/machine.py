"""What the benchmark ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.processes import ROOT

PACKAGES = ("tensorflow", "keras", "numpy", "xarray", "zarr")


def describe_machine() -> dict[str, Any]:
    """Return the processor, memory, system and versions; nothing that names the machine."""
    return {
        "processor": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "vector_units": _vector_units(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def describe_run() -> dict[str, Any]:
    """Return when this is, and of which commit; ``changed`` where the tree isn't the commit's."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--", "src", "bench/*.py")),
    }


class OthersWatch:
    """How much of the processor others use meanwhile: times taken beside them say little."""

    def __init__(self, processes: Sequence[int]) -> None:
        self._processes = [os.getpid(), *processes]
        self._start = self._ticks()

    def share(self) -> float | None:
        """Return the share of all cores, 0 to 1, that went to others; None where unknown."""
        end = self._ticks()
        if not (self._start and end):
            return None
        total, busy, own = (now - then for now, then in zip(end, self._start, strict=True))
        return round(max(0, busy - own) / total, 3) if total else None

    def _ticks(self) -> tuple[int, int, int] | None:
        """Return the clock ticks of all cores, those not idle, and those of our processes."""
        try:
            line = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0]
            ticks = [int(word) for word in line.split()[1:9]]
            own = sum(map(_process_ticks, self._processes))
        except OSError:
            return None
        return sum(ticks), sum(ticks) - ticks[3] - ticks[4], own


def _process_ticks(process: int) -> int:
    words = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return int(words[11]) + int(words[12])


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    return done.stdout.strip()


def _vector_units() -> str:
    flags = (_field("/proc/cpuinfo", "flags") or "").split()
    known = ("avx512f", "avx2", "avx", "sse4_2")
    return next((name for name in known if name in flags), "")


def _field(path: str, name: str) -> str:
    file = Path(path)
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
