"""The address of the store of runs, without importing MLflow, which takes seconds."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from notebook_pipeline.errors import StoreError

_FILE, _ODD_FILE = "sqlite:///", "sqlite+pysqlite:///"
"""Beginnings of addresses of files. For the first MLflow makes folders, of a path still quoted."""


def store_uri(root: Path) -> str:
    """Return ``MLFLOW_TRACKING_URI`` where it is set, else the address of ``mlflow.db``.

    A relative SQLite path counts from the repository, not from wherever a notebook runs.

    Raises:
        StoreError: if the variable names nothing that MLflow can keep runs in.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_FILE}mlflow.db"
    _check_address(uri)
    path = file_of(uri)
    return uri if path is None else uri_of(home_of(root) / path)


def uri_of(file: Path) -> str:
    """Return the address of a file."""
    text = str(file)
    quoted = text.replace("%", "%25").replace("?", "%3F")
    return (_FILE if quoted == text else _ODD_FILE) + quoted


def without_password(uri: str) -> str:
    """Return the address of a server without the user and password that it may hold."""
    return re.sub(r"^(https?://)[^/@]*@", r"\1", uri)


def file_of(uri: str) -> Path | None:
    """Return the file that an address names; None if it is of a server."""
    for scheme in (_FILE, _ODD_FILE):
        if uri.startswith(scheme):
            return Path(unquote(uri.removeprefix(scheme)))
    return None


def home_of(root: Path) -> Path:
    """Return where the store is: ``root``, or the clone that a queued experiment belongs to."""
    # `dvc exp run --queue` works in <clone>/.dvc/tmp/exps/..., which is thrown away.
    text = root.as_posix()
    return Path(text.partition("/.dvc/tmp/exps/")[0])


def _check_address(uri: str) -> None:
    """Refuse what MLflow would take for a folder, or not understand at all."""
    scheme, _, rest = uri.partition(":")
    if scheme == "sqlite" and rest.startswith("///"):
        return
    if scheme not in ("databricks", "file", "sqlite") and rest.startswith("//"):
        return
    if scheme in ("arn", "databricks"):
        return
    raise StoreError(
        f"MLFLOW_TRACKING_URI is {uri!r}, which is not a supported store: set http://host:port for "
        "a server or sqlite:///path, with three slashes, for a file, or unset it: the runs then go "
        "to mlflow.db in the repository"
    )
