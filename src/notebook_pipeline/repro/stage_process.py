"""On a worker: the process of a stage. It ends with the worker, or when nobody waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import BinaryIO

import psutil
from distributed import get_worker
from distributed.core import Status

ONE_STAGE = "notebook_pipeline.repro.one_stage"

TICK = 0.2
"""Seconds between two looks at a stage."""

PATIENCE = 60.0
"""Seconds that an interrupted stage has to end by itself."""

STOPPED = -int(signal.SIGINT)
"""Status of a stage that was to end before it began."""

_lock = Lock()
_running: list[str] = []  # the driver of each stage that runs on this worker
_wishes: dict[str, bool] = {}  # the drivers that have called their stages off; True: killed


def run_in_clone(stage: str, root: str, log: str, driver: str, environment: dict[str, str]) -> int:
    """Run a stage in the clone itself, on the driver's own machine.

    Args:
        stage: Its name in dvc.yaml.
        root: The clone.
        log: The file that receives what it prints.
        driver: Which driver sends it.
        environment: The driver's.

    Returns:
        The status of `dvc repro`.
    """
    return run_stage([stage], Path(root), Path(log), driver, environment)


def run_stage(
    arguments: list[str],
    root: Path,
    log: Path,
    driver: str,
    environment: Mapping[str, str],
    tell: Callable[[], None] = lambda: None,
) -> int:
    """Run `one_stage` in a process of its own until it ends, or nobody waits for it any more.

    Args:
        arguments: Of `one_stage`.
        root: The clone in which it runs.
        log: The file that receives what it prints.
        driver: Which driver sends it.
        environment: Its variables.
        tell: Called at each look at it.
    """
    is_wanted = _wanted()
    with _lock, log.open("ab") as file:
        if driver in _wishes:
            return STOPPED
        process = start_one_stage(arguments, root, file, environment)
        _running.append(driver)
    try:
        while process.poll() is None:
            if driver in _wishes or not is_wanted():
                _end(process, driver)
            tell()
            with suppress(subprocess.TimeoutExpired):
                process.wait(TICK)
    finally:
        _running.remove(driver)
    return process.returncode


def start_one_stage(
    arguments: list[str], root: Path, log: BinaryIO, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start `one_stage` in a clone; what it prints goes to ``log``."""
    # A session of its own: the signals of others don't reach it, and we pass ours on.
    return subprocess.Popen(
        [sys.executable, "-m", ONE_STAGE, *arguments],
        cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        start_new_session=True,
    )  # fmt: skip


def end_stages(driver: str, kill: bool) -> bool:
    """Have the stages of a driver interrupted, or killed.

    Returns:
        Whether any of them still runs on this worker.
    """
    with _lock:
        _wishes[driver] = kill
        return driver in _running


def _wanted() -> Callable[[], bool]:
    """Return a function that tells whether Dask still waits for the task of this thread."""
    worker = get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        ends = worker.status in (Status.closing, Status.closed, Status.failed)
        return task is not None and task.state == "executing" and not ends

    return is_wanted


def _end(process: subprocess.Popen[bytes], driver: str) -> None:
    """Interrupt a stage and wait for all its processes; kill them if it takes too long."""
    leader = psutil.Process(process.pid)
    family = {leader, *leader.children(recursive=True)}
    # The stage's command, and DVC above it. A kernel, in a session of its own, is shut down by
    # what started it: interrupted itself, it would tell of a cell that failed.
    os.killpg(process.pid, signal.SIGINT)
    until = monotonic() + PATIENCE
    while family and not _wishes.get(driver) and monotonic() < until:
        for one in list(family):
            with suppress(psutil.NoSuchProcess):
                family |= set(one.children(recursive=True))
        family = set(psutil.wait_procs(family, timeout=TICK)[1])
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
