"""Workers for what can run side by side: processes of this machine, or those of a cluster."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
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

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(QUIET), _cluster(settings, jobs) as (address, security):
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

    if settings and settings.kind == "address":
        yield settings.arguments["address"], _security(settings.security)
        return
    # Also on this machine: its other users can reach a port, but don't have the key.
    security = _security(settings.security if settings else None) or Security.temporary()
    with _without_signals():
        cluster = _start(settings, jobs, security)
    with cluster:
        yield cluster, security


def _start(settings: ClusterSettings | None, jobs: int, security: Security) -> Any:
    """Start the workers of a kind, or ask for them: Dask's own class for it knows how."""
    given = dict(settings.arguments) if settings else {}
    lifetime = {"lifetime": settings.lifetime} if settings and settings.lifetime else {}
    match settings.kind if settings else "local":
        case "slurm" | "pbs" as kind:
            return _batch_jobs(kind, given, lifetime, jobs, security)
        case "ssh":
            from distributed import SSHCluster

            workers = {"nthreads": 1, "memory_limit": 0, **lifetime}
            workers |= given.pop("worker_options", {})
            return SSHCluster(worker_options=workers, security=security, **given)
        case "kubernetes":
            from dask_kubernetes.operator import KubeCluster

            return KubeCluster(n_workers=jobs, **given)
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=jobs, threads_per_worker=1, processes=True, host="127.0.0.1",
        dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False}, memory_limit=0,
        security=security, preload=[session.__name__], silence_logs=logging.CRITICAL,
        **lifetime, **given,
    )  # fmt: skip


def _batch_jobs(
    kind: str, given: dict[str, Any], lifetime: dict[str, str], jobs: int, security: Security
) -> Any:
    """Ask a batch system for jobs of one worker each; they wait in its queue like all others."""
    import dask_jobqueue

    cluster = {"slurm": dask_jobqueue.SLURMCluster, "pbs": dask_jobqueue.PBSCluster}[kind]
    extra = [f"--{name}={value}" for name, value in lifetime.items()]
    given["worker_extra_args"] = [*extra, *given.get("worker_extra_args", ())]
    started = cluster(cores=1, processes=1, protocol="tls://", security=security, **given)
    started.scale(jobs=jobs)
    return started


def _security(files: TlsFiles | None) -> Security | None:
    """Return the certificates of a user for all roles; None where none are given."""
    from distributed.security import Security

    if files is None:
        return None
    roles = {
        f"tls_{role}_{part}": path
        for role in ("client", "scheduler", "worker")
        for part, path in (("cert", files.certificate), ("key", files.key))
    }
    return Security(require_encryption=True, tls_ca_file=files.ca, **roles)


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
