"""What a point of a sweep computes: how far a walk of some steps comes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np


def measure(settings: dict[str, Any], seed: int, root: str) -> dict[str, float]:
    """Walk, and leave a file for each call, by which tests count them.

    Files at the root make a test's trouble: ``hold`` has every point wait, ``fail`` has points of 7
    steps fail, and each line of ``kill`` takes the process of a call, or its ``worker``.
    """
    calls = Path(root, "calls")
    calls.mkdir(exist_ok=True)
    (calls / f"{settings['steps']}-{settings['factor']}-{seed}-{uuid4().hex}").touch()
    while Path(root, "hold").exists() and len(list(calls.iterdir())) > 2:
        time.sleep(0.05)
    _kill_itself(Path(root, "kill"))
    if Path(root, "fail").exists() and settings["steps"] == 7:
        raise ValueError("seven steps are too many")
    numbers = np.loadtxt(Path(root, "data/numbers.csv"), skiprows=1)[: settings["steps"]]
    noise = np.random.default_rng(seed).normal(scale=0.01, size=2)
    mean = float(numbers.mean()) * settings["factor"]
    far = float("nan") if settings["factor"] > 90 else mean + noise[1]
    return {"error": abs(mean + noise[0]), "far": far, "weights": settings["steps"]}


def _kill_itself(path: Path) -> None:
    if path.exists() and (lines := path.read_text(encoding="utf-8").splitlines()):
        path.write_text("\n".join(lines[1:]), encoding="utf-8")
        os.kill(os.getppid() if lines[0] == "worker" else os.getpid(), signal.SIGKILL)
        time.sleep(60)
