"""The memory that a function takes on top, in a Python of its own.

`python -m experiments.cost.process` is that Python: it reads what to do from its arguments
and prints one number. In a process that has done other work, memory that was freed and kept for
later use would hide what a function takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

Prepare = Callable[..., Callable[[], object]]
"""Takes arguments that JSON can hold, makes all that is needed, and returns what is measured."""


def measure_growth(prepare: Prepare, cases: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Run what ``prepare`` returns for each case, all at once, each in a process of its own.

    Args:
        prepare: A function of a module, by whose name the process finds it.
        cases: By name the arguments of ``prepare``.

    Returns:
        By the name of the case, the bytes by which the peak of the process's memory grew.

    Raises:
        RuntimeError: if a process fails, with the last thing that it said.
    """
    started = {name: _start(prepare, arguments) for name, arguments in cases.items()}
    said = {name: process.communicate() for name, process in started.items()}
    for name, (_, errors) in said.items():
        if started[name].returncode:
            last = (errors.strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"the process that measures {name!r} failed: {last}")
    return {name: int(output.splitlines()[-1]) for name, (output, _) in said.items()}


def _start(prepare: Prepare, arguments: Mapping[str, Any]) -> subprocess.Popen[str]:
    words = [prepare.__module__, prepare.__name__, json.dumps(dict(arguments))]
    return subprocess.Popen(
        [sys.executable, "-m", __name__, *words],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def _peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    # Not `ru_maxrss`: Linux starts it at the peak of the process that started this one.
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _main(module: str, name: str, arguments: str) -> None:
    run = getattr(import_module(module), name)(**json.loads(arguments))
    before = _peak()
    run()
    print(_peak() - before)


if __name__ == "__main__":
    _main(*sys.argv[1:])
