"""What the benchmark ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench.processes import ROOT
from notebook_pipeline.system.machine import machine_class

PACKAGES = ("tensorflow", "keras", "numpy", "xarray", "zarr")


def describe_machine() -> dict[str, Any]:
    """Return the processor, memory, system and versions; nothing that names the machine."""
    machine = machine_class(PACKAGES)
    return {
        "processor": machine["processor"],
        "cores": machine["cores"],
        "vector_units": " ".join(machine["features"]),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{machine['system']}, kernel {platform.release()}",
        "python": machine["python"],
        "versions": machine["packages"],
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
