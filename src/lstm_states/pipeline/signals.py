"""How what is started here ends: by signals, and with what started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def end_with_dvc() -> None:
    """Have this process terminated when the `dvc repro` that called it dies; on Linux alone.

    Outside a stage of DVC it does nothing.
    """
    if "DVC_STAGE" in os.environ:
        end_with_parent()


def end_with_parent() -> None:
    """Have this process terminated when the one that started it dies; on Linux alone."""
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C.

    Both are heard by what is started from here, too, even where a shell that started this in the
    background has had them ignored.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    kept = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, kept, strict=True):
            signal.signal(number, handler)
