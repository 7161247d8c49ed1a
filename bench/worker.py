"""The process of one competitor: `python -m bench.worker MODULE FILE_DESCRIPTOR`.

It answers the requests of :class:`bench.processes.Worker`, one JSON object each, over a socket
inherited from its parent.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import traceback
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from bench.cases import Case
from bench.competitors import CannotDoError
from bench.inputs import Inputs, largest_errors

REPETITION = 0.05
"""Seconds that one repetition should last at least; faster calls are repeated within it."""

WARM_UP = 0.5
"""Seconds of calls after the first one that are not counted, or twenty calls, or two slow ones."""


class Desk:
    """Holds what was prepared, and does what it is asked."""

    def __init__(self, module: str) -> None:
        self.competitor = importlib.import_module(module)
        self.runs: dict[str, Any] = {}
        self.calls: dict[str, int] = {}

    def describe(self) -> dict[str, Any]:
        """Return the versions of the packages that matter."""
        return {"versions": {name: version(name) for name in self.competitor.PACKAGES}}

    def prepare(self, case: dict[str, Any], folder: str) -> dict[str, Any]:
        """Build a case, time its first call, and compare what came out with the reference."""
        case_ = Case.from_json(case)
        inputs = None if case_.work == "epoch" else Inputs.load(Path(folder, "inputs.npz"))
        run = self.competitor.prepare(case_, inputs)
        first, result = _timed(run)
        errors = {}
        if inputs is not None:
            with np.load(Path(folder, "reference.npz")) as expected:
                errors = largest_errors(self.competitor.arrays(result), expected, inputs.mask)
        del result
        warm = _warm_up(run)
        self.runs[case_.name] = run
        self.calls[case_.name] = min(50, max(1, round(REPETITION / warm)))
        gc.collect()
        gc.freeze()  # so that the collections between repetitions are quick
        return {"first_s": first, "warm_s": warm, "calls": self.calls[case_.name], "errors": errors}

    def time(self, name: str) -> dict[str, Any]:
        """Do one repetition and return the seconds of one call.

        Results that refer to themselves live until they are collected, here after the clock has
        stopped: otherwise a hundred of them fill the memory.
        """
        run, calls = self.runs[name], self.calls[name]
        start = perf_counter()
        for _ in range(calls):
            result = run()
        seconds = (perf_counter() - start) / calls
        del result
        gc.collect()
        return {"seconds": seconds}

    def release(self, name: str) -> dict[str, Any]:
        """Forget a case."""
        self.runs.pop(name, None)
        if "keras" in sys.modules:
            sys.modules["keras"].backend.clear_session()
        gc.unfreeze()
        gc.collect()
        return {}


def _timed(run: Any) -> tuple[float, Any]:
    start = perf_counter()
    result = run()
    return perf_counter() - start, result


def _warm_up(run: Any) -> float:
    """Call until calls are as fast as they get, twice at least; return the fastest one's seconds.

    Threads that have just been made, and memory not yet touched, slow more than the first call.
    """
    seconds = [_timed(run)[0] for _ in range(2)]
    while sum(seconds) < WARM_UP and len(seconds) < 20:
        seconds.append(_timed(run)[0])
    return min(seconds)


def _failure(error: BaseException) -> dict[str, str]:
    line = traceback.format_exception_only(error)[-1].strip().splitlines()[-1]
    status = "cannot" if isinstance(error, CannotDoError) else "failed"
    return {"status": status, "error": str(error) if status == "cannot" else line}


def serve(module: str, connection: Connection) -> None:
    """Answer requests until there are no more."""
    desk: Desk | None = None
    while True:
        try:
            request = json.loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            desk = desk or Desk(module)
            answer = {"status": "ok", **getattr(desk, request.pop("do"))(**request)}
        except Exception as error:
            traceback.print_exc()
            answer = _failure(error)
        connection.send_bytes(json.dumps(answer).encode())


if __name__ == "__main__":
    serve(sys.argv[1], Connection(int(sys.argv[2])))
