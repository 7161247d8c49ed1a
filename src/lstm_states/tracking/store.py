"""The store of runs: a SQLite file at the root of the repository, or the server that is set."""

from __future__ import annotations

import logging
import os
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import mlflow
from mlflow.entities import Run

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


def connect(root: Path) -> mlflow.MlflowClient:
    """Return a client of the store that :func:`store_uri` names, its experiment made if need be.

    Raises:
        StoreError: if the file is locked, damaged or read-only, or the server can't be reached.
            MLflow itself would try for minutes, and then show a traceback.
    """
    uri = store_uri(root)
    if uri.startswith(_FILE):
        _check_file(Path(uri.removeprefix(_FILE)))
    elif uri.startswith("http"):
        _check_server(uri)
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    if client.get_experiment_by_name(EXPERIMENT) is None:
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


def _check_server(uri: str) -> None:
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return  # it answers; whether it lets us in is told by the first request
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise StoreError(
            f"MLFLOW_TRACKING_URI is {uri}, which can't be reached: {reason}. Start that server, "
            "or unset the variable: the runs then go to mlflow.db in the repository"
        ) from None


def _home(root: Path) -> Path:
    """Return where the store is: ``root``, or the clone that a queued experiment belongs to."""
    # `dvc exp run --queue` works in <clone>/.dvc/tmp/exps/..., which is thrown away.
    text = root.as_posix()
    return Path(text.partition("/.dvc/tmp/exps/")[0])
