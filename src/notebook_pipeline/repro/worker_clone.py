"""On a worker of a cluster: a throwaway clone, in which a stage runs as it would on a laptop."""

from __future__ import annotations

import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from distributed import get_worker
from dvc.utils.serialize import load_yaml

from notebook_pipeline.repository import LOCK
from notebook_pipeline.repro.progress import read_cells
from notebook_pipeline.repro.snapshot import unpack
from notebook_pipeline.repro.stage_process import run_stage
from notebook_pipeline.stages.outputs import RECORD
from notebook_pipeline.system.environment import clone_environment
from notebook_pipeline.system.packages import engine_digest, package_differences

TELL = 2.0
"""Seconds between two words to the driver."""

LARGEST = 16 * 2**20
"""Bytes of the largest file that comes back of a failed attempt."""


@dataclass(frozen=True)
class Dispatch:
    """What a worker is told of a stage.

    Attributes:
        stage: Its name in dvc.yaml.
        driver: Which driver sends it.
        packed: The files of the driver's clone.
        needed: Dependencies that DVC's cache holds.
        uncached: Outputs with ``cache: false``.
        report: The folder of its notebook's report; empty if it runs none.
        attempt: The folder of a failed attempt; empty if it runs no notebook.
        cache: The cache that driver and workers share; None if files go through the remote.
        tracking: The address of an MLflow server, where there is one.
        engine: Digest of the driver's engine.
        python: The driver's version of Python.
    """

    stage: str
    driver: str
    packed: bytes
    needed: tuple[str, ...]
    uncached: tuple[str, ...]
    report: str
    attempt: str
    cache: str | None
    tracking: str | None
    engine: str
    python: str


@dataclass(frozen=True)
class Returned:
    """What comes back of a stage, all of it plain data.

    Attributes:
        status: Of `dvc repro`.
        log: What it printed.
        record: The record of its run; empty if there is none.
        attempt: The files of a failed attempt, by their paths in its folder.
        objects: What DVC doesn't push of its results, by paths in its cache.
    """

    status: int
    log: bytes
    record: bytes
    attempt: Mapping[str, bytes]
    objects: Mapping[str, bytes]


def run_dispatched(told: Mapping[str, Any]) -> dict[str, Any]:
    """Run a stage in a throwaway clone.

    Args:
        told: A :class:`Dispatch`, as plain data.

    Returns:
        A :class:`Returned`, as plain data.
    """
    dispatch, worker = Dispatch(**told), get_worker()
    worker.log_event(dispatch.driver, {"stage": dispatch.stage, "began": worker.address})
    # What a killed stage has started may still write there. The worker's own folder goes with it.
    with tempfile.TemporaryDirectory(
        dir=worker.local_directory, ignore_cleanup_errors=True
    ) as folder:
        root, log = Path(folder) / "clone", Path(folder) / "log"
        unpack(dispatch.packed, root)
        if different := _differences(dispatch, root):
            log.write_text(different, encoding="utf-8")
            status = 1
        else:
            _share_cache(dispatch, root)
            status = _run(dispatch, root, log)
        return asdict(_returned(dispatch, root, log, status))


def _differences(dispatch: Dispatch, root: Path) -> str:
    """Say why results of this worker would not be those of the driver; empty if they would."""
    found = package_differences(root)
    if platform.python_version() != dispatch.python:
        found.append(f"Python {platform.python_version()} instead of {dispatch.python}")
    if engine_digest() != dispatch.engine:
        found.append("another version of notebook_pipeline")
    if not found:
        return ""
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return (
        f"The worker on {platform.node()} has another environment than {LOCK}: "
        f"{', '.join(found[:5])}{more}. Nothing was started; install the lock there.\n"
    )


def _share_cache(dispatch: Dispatch, root: Path) -> None:
    if dispatch.cache:
        config = root / ".dvc/config.local"
        config.write_text(f'[cache]\n    dir = "{dispatch.cache}"\n', encoding="utf-8")


def _run(dispatch: Dispatch, root: Path, log: Path) -> int:
    environment = clone_environment(root)
    if dispatch.tracking:
        environment["MLFLOW_TRACKING_URI"] = dispatch.tracking
    fetch = "--checkout" if dispatch.cache else "--pull"
    return run_stage(
        [dispatch.stage, fetch, *dispatch.needed], root, log, dispatch.driver,
        environment, _teller(dispatch, log),
    )  # fmt: skip


def _teller(dispatch: Dispatch, log: Path) -> Callable[[], None]:
    """Return a function that tells the driver how far the notebook is, now and then."""
    worker, at, said = get_worker(), monotonic(), ""

    def tell() -> None:
        nonlocal at, said
        if monotonic() - at >= TELL:
            at, cells = monotonic(), read_cells(log)
            if cells != said:
                worker.log_event(dispatch.driver, {"stage": dispatch.stage, "cells": cells})
            said = cells

    return tell


def _returned(dispatch: Dispatch, root: Path, log: Path, status: int) -> Returned:
    record = root / dispatch.report / RECORD
    attempt = root / dispatch.attempt
    pushed = status == 0 and not dispatch.cache
    return Returned(
        status=status,
        log=log.read_bytes(),
        record=record.read_bytes() if dispatch.report and record.is_file() else b"",
        attempt=dict(_files(attempt)) if dispatch.attempt and status else {},
        objects=dict(_objects(dispatch, root)) if pushed else {},
    )


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a folder that are small enough to be sent."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size <= LARGEST:
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _objects(dispatch: Dispatch, root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the entry of the run cache, and the objects of outputs that DVC doesn't push."""
    cache = root / ".dvc/cache"
    for path in sorted((cache / "runs").rglob("*")):
        if path.is_file():
            yield path.relative_to(cache).as_posix(), path.read_bytes()
    locked = load_yaml(root / "dvc.lock")["stages"][dispatch.stage].get("outs", ())
    for digest in [out["md5"] for out in locked if out["path"] in dispatch.uncached]:
        for name in _with_members(cache, digest):
            yield name, (cache / name).read_bytes()


def _with_members(cache: Path, digest: str) -> Iterator[str]:
    """Yield the path of an object in the cache, and of those in the folder that it lists."""
    name = f"files/md5/{digest[:2]}/{digest[2:]}"
    yield name
    if digest.endswith(".dir"):
        for member in json.loads((cache / name).read_text(encoding="utf-8")):
            yield f"files/md5/{member['md5'][:2]}/{member['md5'][2:]}"


PYTHON = ".".join(map(str, sys.version_info[:3]))
