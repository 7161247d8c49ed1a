"""The process of each run, and the end of runs whose process is gone."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping

import psutil
from mlflow.entities import Run

from notebook_pipeline.mlflow_runs.store import Client, search_runs

HOST, PROCESS, STARTED = "process.host", "process.id", "process.started"
"""Tags of a run: its process, and when that one started, as ids of processes come again."""

CLOCK_ERROR = 1.0
"""Seconds by which the start of a process may seem to move while the clock is set right."""


def process_tags() -> dict[str, str]:
    """Return tags that name this process."""
    started = psutil.Process().create_time()
    return {HOST: platform.node(), PROCESS: str(os.getpid()), STARTED: f"{started:.2f}"}


def close_dead_runs(client: Client) -> list[Run]:
    """Mark runs KILLED that are RUNNING though their process is gone, and return them.

    A process that was killed, by hand or for want of memory, can't say so itself. Runs of other
    hosts are left alone.
    """
    running = search_runs(client, "attributes.status = 'RUNNING'")
    dead = [run for run in running if _is_gone(run.data.tags)]
    for run in dead:
        client.set_terminated(run.info.run_id, "KILLED")
    return dead


def _is_gone(tags: Mapping[str, str]) -> bool:
    if tags.get(HOST) != platform.node():
        return False
    try:
        process = psutil.Process(int(tags[PROCESS]))
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return abs(process.create_time() - float(tags[STARTED])) > CLOCK_ERROR
    except psutil.NoSuchProcess:
        return True
