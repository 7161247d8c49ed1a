"""Write down which files the processes of a pipeline's stage read; Python runs this at its start.

A module counts by its source, also where only its byte code is opened. Not seen are files that a
library opens by itself, below Python's own `open`: h5py (weights) and sqlite3, for example.
"""

import importlib.util
import os
import sys


def write_down(descriptor):
    seen = set()

    def hook(event, arguments):
        if event != "open":
            return
        path, mode, flags = arguments
        reads = "r" in mode or "+" in mode if mode else not flags & (os.O_WRONLY | os.O_RDWR)
        if not reads or isinstance(path, int):
            return
        path = os.path.abspath(os.fsdecode(path))
        if "__pycache__" in path and path.endswith(".pyc"):
            path = importlib.util.source_from_cache(path)
        if path not in seen:
            seen.add(path)
            os.write(descriptor, f"{path}\n".encode())

    sys.addaudithook(hook)


if {"DVC_STAGE", "LSTM_STATES_AUDIT"} <= os.environ.keys():
    name = f"{os.environ['DVC_STAGE']}.{os.getpid()}"
    file = os.path.join(os.environ["LSTM_STATES_AUDIT"], name)
    write_down(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
