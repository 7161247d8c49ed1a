"""cluster.yaml: where work runs if not on this machine, and how its workers are reached."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.file import read_file
from notebook_pipeline.parameters.strict import Count, Strict

PACKAGES = {
    "slurm": "dask_jobqueue",
    "pbs": "dask_jobqueue",
    "ssh": "asyncssh",
}
"""What a kind of cluster needs on top of Dask: pip knows these by the names with a dash."""

HomePath = Annotated[str, AfterValidator(os.path.expanduser)]
"""A path that may begin with ``~``."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class TlsFiles(Strict):
    """Paths of a certificate of one's own authority, by which driver and workers know each other.

    Workers find them by the same paths.
    """

    ca: HomePath
    certificate: HomePath
    key: HomePath


class ClusterSettings(Strict):
    """All of cluster.yaml.

    Attributes:
        kind: What starts the workers; ``address`` takes those of a scheduler that is there.
        arguments: Of Dask's own class for the kind, such as ``walltime`` of SLURM, or
            ``address``.
        jobs: The most that runs at a time.
        lifetime: How long a worker takes work, such as "50 minutes"; less than the walltime.
        security: TLS, where something else than this machine is reached.
        remote: Whether files go through DVC's default remote. Otherwise all machines share the
            cache of this clone, by the same path.
    """

    kind: Literal["local", "slurm", "pbs", "ssh", "address"]
    arguments: dict[str, Any] = Field(default_factory=dict)
    jobs: Count | None = None
    lifetime: str | None = None
    security: TlsFiles | None = None
    remote: bool = False


def load_settings(path: Path) -> ClusterSettings:
    """Read and check cluster.yaml.

    Raises:
        ConfigError: naming each key that is unknown or wrong, a package that is missing with the
            command that installs it, or a connection that others could read and use.
    """
    settings: ClusterSettings = read_file(path, ClusterSettings)
    if settings.kind != "local" and settings.jobs is None:
        raise ConfigError(f"{path.name}: jobs is missing: how many stages may run at a time")
    package = PACKAGES.get(settings.kind)
    if package and find_spec(package) is None:
        raise ConfigError(
            f"{path.name}: kind {settings.kind} needs a package that is not installed: "
            f"pip install {package.replace('_', '-')}"
        )
    _check_connection(path.name, settings)
    if settings.lifetime:
        _check_lifetime(path.name, settings.lifetime)
    _check_files(path.name, settings.security)
    return settings


def _check_lifetime(name: str, lifetime: str) -> None:
    from dask.utils import parse_timedelta  # here: only who names a time needs it

    try:
        parse_timedelta(lifetime)
    except (KeyError, ValueError):
        raise ConfigError(
            f"{name}: lifetime is {lifetime!r}; write a number and a unit, such as '50 minutes'"
        ) from None


def _check_connection(name: str, settings: ClusterSettings) -> None:
    """Refuse a connection without TLS to anything but this machine."""
    if settings.kind == "address":
        address = settings.arguments.get("address")
        where = urlsplit(str(address))
        if not where.hostname or where.scheme not in ("tcp", "tls"):
            raise ConfigError(
                f"{name}: arguments.address is {address!r}; it must be tls://HOST:PORT, or "
                "tcp://127.0.0.1:PORT"
            )
        if where.scheme == "tcp" and where.hostname not in LOOPBACK:
            raise ConfigError(
                f"{name}: {address} is another machine and has no TLS: whoever can reach it runs "
                "code as you. Start its scheduler with TLS and write tls:// and security"
            )
    needs = settings.kind == "ssh" or (settings.kind == "address" and where.scheme == "tls")
    if needs and settings.security is None:
        raise ConfigError(
            f"{name}: kind {settings.kind} needs security: ca, certificate and key, the paths of "
            "files that all machines have; docs/cluster.md tells how to make them"
        )


def _check_files(name: str, security: TlsFiles | None) -> None:
    for key, path in security or ():
        if not Path(path).is_file():
            raise ConfigError(f"{name}: security.{key} is {path!r}: there is no such file")
