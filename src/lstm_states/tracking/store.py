"""The store of runs: a SQLite file at the root of the repository, or the server that is set."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from lstm_states.errors import StoreError

EXPERIMENT = "lstm-states"

PATIENCE = 20
"""Seconds to wait for a store that is locked, or a server that doesn't answer."""

_FILE = "sqlite:///"

logging.getLogger("mlflow").setLevel(logging.WARNING)


def store_uri(root: Path) -> str:
    """Return ``MLFLOW_TRACKING_URI`` where it is set, else the address of ``mlflow.db``.

    A relative SQLite path counts from the repository, not from wherever a notebook runs.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{_FILE}mlflow.db"
    path = uri.removeprefix(_FILE)
    return uri if path == uri else f"{_FILE}{_home(root) / path}"


def without_password(uri: str) -> str:
    """Return the address of a server without the user and password that it may hold."""
    return re.sub(r"^(https?://)[^/@]*@", r"\1", uri)


def connect(root: Path) -> mlflow.MlflowClient:
    """Return a client of the store that :func:`store_uri` names, its experiment made if need be.

    Raises:
        StoreError: if the file is locked, damaged or read-only, or the server can't be reached or
            doesn't let us in. MLflow itself would try for minutes, and then show a traceback.
    """
    uri = store_uri(root)
    if uri.startswith(_FILE):
        _check_file(Path(uri.removeprefix(_FILE)))
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    try:
        with _one_try():
            experiment = client.get_experiment_by_name(EXPERIMENT)
    except MlflowException as error:
        reason = str(error).rpartition("Caused by ")[2].splitlines()[0]
        raise StoreError(
            f"MLFLOW_TRACKING_URI is {without_password(uri)}, which can't be used: {reason}. Start "
            "that server, set what it asks for, or unset the variable: the runs then go to "
            "mlflow.db in the repository"
        ) from error
    if experiment is None:
        # A server knows where its artifacts go; beside our own store they would follow the cwd.
        artifacts = (_home(root) / "mlartifacts").as_uri() if uri.startswith("sqlite") else None
        client.create_experiment(EXPERIMENT, artifact_location=artifacts)
    return client


def search_runs(client: mlflow.MlflowClient, condition: str = "") -> list[Run]:
    """Return all runs of the experiment that meet a condition, newest first."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found: list[Run] = []
    token = None
    while page := client.search_runs([experiment.experiment_id], condition, page_token=token):
        found += page
        token = page.token
        if not token:
            break
    return found


def _check_file(path: Path) -> None:
    """Write nothing to the database, but make sure that it could be done."""
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("SELECT count(*) FROM sqlite_master")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise StoreError(f"MLflow's {path}: {error}; {_remedy(path, error)}") from None


def _remedy(path: Path, error: sqlite3.Error) -> str:
    if "locked" in str(error):
        return f"another process has held it for {PATIENCE} s: end that one and call again"
    if isinstance(error, sqlite3.OperationalError):
        return "it must be a file that can be written, on a disk with room"
    return (
        f"move it out of the way (mv {path.name} {path.name}.damaged) and call "
        "`lstm-states record`, which makes the runs anew from the reports"
    )


@contextmanager
def _one_try() -> Iterator[None]:
    """Have MLflow ask a server once, for :data:`PATIENCE` seconds, not for minutes."""
    asked = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE),
    }
    kept = {name: os.environ.get(name) for name in asked}
    os.environ.update(asked)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _home(root: Path) -> Path:
    """Return where the store is: ``root``, or the clone that a queued experiment belongs to."""
    # `dvc exp run --queue` works in <clone>/.dvc/tmp/exps/..., which is thrown away.
    text = root.as_posix()
    return Path(text.partition("/.dvc/tmp/exps/")[0])
