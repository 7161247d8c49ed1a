"""Workers for what can run side by side: processes of this machine, or those of a cluster."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_pipeline.cluster import session
from notebook_pipeline.errors import ReproError

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

    from notebook_pipeline.cluster.settings import ClusterSettings, TlsFiles

QUIET = {
    "distributed.scheduler.allowed-failures": 0,  # what kills its worker is not done again
    "distributed.scheduler.http.routes": [],  # they are open to all who reach the port
    "distributed.worker.http.routes": [],
    "distributed.nanny.pre-spawn-environ": {},  # numbers of threads: the work sets its own
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.limit": "1h",  # a busy machine is no reason for a warning
}
"""How Dask is used here: the work has processes and memory of its own, and Dask only hands it out.
"""

FOLDER = Path(".dvc/tmp/cluster")
"""What batch jobs print, and their keys while they run: in the clone, for this user alone."""

PATIENCE = 20
"""Seconds in which a scheduler has to answer."""


@contextmanager
def cluster_client(settings: ClusterSettings | None, jobs: int) -> Iterator[Client]:
    """Yield a client of workers with one thread each, and end what was started for it.

    Work is given to it by ``client.submit(function, ..., pure=False)``: the function must be one of
    a module, its arguments and what it returns plain data.

    Args:
        settings: Of cluster.yaml; None for processes of this machine, which take no more than the
            packages of the lock.
        jobs: How many workers to start; those of a scheduler that is there are taken as they are.

    Raises:
        ReproError: if the workers can't be reached.
    """
    import dask
    from distributed import Client

    for name in ("distributed", "distributed.client"):  # Dask gives the second a level of its own
        logging.getLogger(name).setLevel(logging.CRITICAL)
    tls = _tls(settings.security if settings else None)
    with (
        dask.config.set(QUIET | tls),
        _environment_kept(),
        _cluster(settings, jobs) as (address, security),
    ):
        try:
            client = Client(address, security=security, timeout=PATIENCE, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise ReproError(f"the scheduler at {address} can't be reached: {error}") from error
        with client:
            yield client


@contextmanager
def _cluster(settings: ClusterSettings | None, jobs: int) -> Iterator[tuple[Any, Security | None]]:
    """Yield a cluster or its address, and what opens it."""
    from distributed.security import Security

    # Also on this machine: its other users can reach a port, but don't have the key.
    security = Security() if settings and settings.security else Security.temporary()
    if settings and settings.kind == "address":
        yield settings.arguments["address"], security if settings.security else None
        return
    with _without_signals():
        cluster = _start(settings, jobs, security)
    with cluster:
        yield cluster, security


def _start(settings: ClusterSettings | None, jobs: int, security: Security) -> Any:
    """Start the workers of a kind, or ask for them: Dask's own class for it knows how."""
    given = dict(settings.arguments) if settings else {}
    lifetime = _lifetime(settings)
    match settings.kind if settings else "local":
        case "slurm" | "pbs" as kind:
            return _batch_jobs(kind, given, lifetime, jobs, security)
        case "ssh":
            from distributed import SSHCluster

            own = {"nthreads": 1, "memory_limit": 0, "protocol": "tls://", **lifetime}
            workers = own | given.pop("worker_options", {})
            scheduler = {"dashboard": False, "protocol": "tls://", "port": 0}
            scheduler |= given.pop("scheduler_options", {})
            return SSHCluster(
                worker_options=workers, scheduler_options=scheduler, security=security, **given
            )
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=jobs, threads_per_worker=1, processes=True, host="127.0.0.1",
        dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, memory_limit=0,
        security=security, preload=[session.__name__], silence_logs=logging.CRITICAL,
        **lifetime, **given,
    )  # fmt: skip


def _lifetime(settings: ClusterSettings | None) -> dict[str, str]:
    """Return the argument of a worker for how long it takes work, without a blank in it."""
    from dask.utils import parse_timedelta

    if settings is None or settings.lifetime is None:
        return {}
    return {"lifetime": f"{parse_timedelta(settings.lifetime)}s"}


def _batch_jobs(
    kind: str, given: dict[str, Any], lifetime: dict[str, str], jobs: int, security: Security
) -> Any:
    """Ask a batch system for jobs of one worker each; they wait in its queue like all others."""
    import dask_jobqueue

    folder = str(FOLDER.resolve())
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster = {"slurm": dask_jobqueue.SLURMCluster, "pbs": dask_jobqueue.PBSCluster}[kind]
    own = {
        "cores": 1,
        "processes": 1,
        "protocol": "tls://",
        "shared_temp_directory": folder,
        "log_directory": folder,
        "scheduler_options": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
    }
    extra = [f"--{name}={value}" for name, value in lifetime.items()]
    given["worker_extra_args"] = [*extra, *given.get("worker_extra_args", ())]
    started = cluster(security=security, **(own | given))
    started.scale(jobs=jobs)
    return started


def _tls(files: TlsFiles | None) -> dict[str, Any]:
    """Return the configuration of Dask that has all roles use the certificates of a user."""
    if files is None:
        return {}
    roles = {
        f"distributed.comm.tls.{role}.{part}": path
        for role in ("client", "scheduler", "worker")
        for part, path in (("cert", files.certificate), ("key", files.key))
    }
    return {
        "distributed.comm.require-encryption": True,
        "distributed.comm.tls.ca-file": files.ca,
    } | roles


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Put the variables back that Dask sets in the process that starts workers."""
    kept = {name: os.environ.get(name) for name in ("PYTHONHASHSEED", "__DASK_PARENT_PID")}
    try:
        yield
    finally:
        for name, text in kept.items():
            os.environ.pop(name, None)
            if text is not None:
                os.environ[name] = text


@contextmanager
def _without_signals() -> Iterator[None]:
    """Have signals wait while threads and processes are started, which inherit that.

    They reach this thread afterwards, as the only one; workers leave the terminal by themselves.
    """
    kept = signal.pthread_sigmask(signal.SIG_BLOCK, session.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)
