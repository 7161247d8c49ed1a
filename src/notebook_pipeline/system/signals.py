"""End child processes by signals, and together with their parent."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread, get_ident
from types import FrameType

import psutil

TICK = 0.2
"""Seconds between two looks at what this process must end with."""


def end_with_dvc() -> None:
    """Have this process terminated when the `dvc repro` that called it dies.

    Outside a stage of DVC it does nothing.
    """
    stage = os.environ.get("DVC_STAGE")
    if stage is None:
        return
    # The parent can be a shell of the stage's own, which outlives DVC.
    process = psutil.Process().parent()
    while process and _variables(process).get("DVC_STAGE") == stage:
        process = process.parent()
    if process:
        _end_with(process)


def end_with_parent() -> None:
    """Have this process terminated when the one that started it dies."""
    if parent := psutil.Process().parent():
        _end_with(parent)


def _variables(process: psutil.Process) -> dict[str, str]:
    """Return what a process was started with; nothing if it is another user's, or gone."""
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _end_with(process: psutil.Process) -> None:
    here = get_ident()

    def watch() -> None:
        # Not `process.wait()`: a process that nobody has buried counts as alive there.
        with suppress(psutil.NoSuchProcess):
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(TICK)
        signal.pthread_kill(here, signal.SIGTERM)

    Thread(target=watch, daemon=True).start()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C.

    Both are heard by what is started from here, too, even where a shell that started this in the
    background has had them ignored. A second SIGTERM doesn't interrupt what follows the first:
    where all processes of a group are sent one, the end of DVC brings another.
    """
    is_ending = False

    def end(_: int, __: FrameType | None) -> None:
        nonlocal is_ending
        is_ending = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: end}
    kept = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        if not is_ending:
            for number, handler in kept.items():
                signal.signal(number, handler)
