"""What must be right before a notebook starts, and what must hold while it runs."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zc.lockfile
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from lstm_states.errors import DataError, ExperimentError
from lstm_states.pipeline.stages import open_repo

KERNEL = "python3"
"""Name of the kernel that runs notebooks."""


def check_data(path: Path) -> None:
    """Refuse to start without the processed data at ``path``."""
    if not path.is_dir():
        raise DataError(f"data/processed/{path.name} is missing; `dvc repro` makes it")


def check_kernel() -> None:
    """Refuse to start where Jupyter has no kernel to run notebooks in."""
    try:
        KernelSpecManager().get_kernel_spec(KERNEL)
    except NoSuchKernel:
        raise ExperimentError(
            f"Jupyter has no kernel {KERNEL!r}; `python -m ipykernel install --sys-prefix` or "
            "`make env` installs it"
        ) from None


def check_cache(root: Path) -> None:
    """Refuse to start what DVC couldn't keep in the end."""
    with open_repo(root) as repo:
        cache = Path(repo.cache.local.path)
    folder = next(path for path in (cache, *cache.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        raise ExperimentError(
            f"DVC's cache {cache} can't be written: make it writable, or set another one with "
            "`dvc cache dir`"
        )


@contextmanager
def alone(configuration: str, root: Path) -> Iterator[None]:
    """Keep a second run of the same configuration in the same folder from starting."""
    path = root / ".dvc" / "tmp" / f"lstm-states-{configuration}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = zc.lockfile.LockFile(path)
    except zc.lockfile.LockError:
        raise ExperimentError(
            f"another run of {configuration} is under way in {root}, process "
            f"{path.read_text().strip()}: wait for its end, or use a clone of your own"
        ) from None
    try:
        yield
    finally:
        lock.close()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C, and the death of the `dvc repro` that called as SIGTERM.

    Both are heard by what is started from here, too, even where a shell that started this in the
    background has had them ignored.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    kept = [signal.signal(number, signal.default_int_handler) for number in numbers]
    if sys.platform == "linux" and "DVC_STAGE" in os.environ:
        set_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)
    try:
        yield
    finally:
        for number, handler in zip(numbers, kept, strict=True):
            signal.signal(number, handler)
