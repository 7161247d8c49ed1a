"""What a worker on this machine does first: it leaves the terminal of the one that started it."""

from __future__ import annotations

import os
import signal
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def dask_setup(worker: Any) -> None:
    """Lead a session of one's own, so that the terminal's Ctrl-C goes to the driver alone.

    Dask calls it before the worker takes work. Until here the signals were blocked: those that came
    meanwhile were meant for the driver and are dropped.
    """
    os.setsid()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in SIGNALS[1:]:
        signal.signal(number, signal.SIG_DFL)
