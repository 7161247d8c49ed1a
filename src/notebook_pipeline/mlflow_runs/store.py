"""The store of runs: a SQLite file at the root of the repository, or the server that is set."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from alembic.config import Config
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from notebook_pipeline.errors import StoreError
from notebook_pipeline.project import project_of
from notebook_pipeline.stages.store_address import (
    file_of,
    home_of,
    store_uri,
    uri_of,
    without_password,
)

PATIENCE = 20
"""Seconds to wait for a store that is locked, or a server that doesn't answer."""

_ARTIFACTS = {
    "experiments": "artifact_location",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
    "runs": "artifact_uri",
}
"""Columns of MLflow's tables that say where artifacts are."""

logging.getLogger("mlflow").setLevel(logging.WARNING)


def _set_option(
    self: Config,
    name: str,
    value: str,
    _set: Callable[[Config, str, str], None] = Config.set_main_option,
) -> None:
    """MLflow gives alembic the folder of its own package as it is; a % in it has to be doubled."""
    _set(self, name, value.replace("%", "%%") if name == "script_location" else value)


Config.set_main_option = _set_option  # type: ignore[method-assign]


class Client(mlflow.MlflowClient):
    """MLflow's client of a store, which knows the project's experiment there.

    Attributes:
        name: Of the experiment.
        experiment_id: MLflow's for it.
    """

    def __init__(self, uri: str, name: str) -> None:
        """Make the tables, or find those of another MLflow."""
        super().__init__(uri)
        self.name = name
        self.experiment_id = ""

    def find_experiment(self) -> bool:
        """Note the id of the experiment; return whether it is there."""
        found = self.get_experiment_by_name(self.name)
        if found is not None:
            self.experiment_id = found.experiment_id
        return found is not None


def connect(root: Path) -> Client:
    """Return a client of the store that :func:`store_uri` names, its experiment made if need be.

    Raises:
        StoreError: if the file is locked, damaged, read-only or another MLflow's, or the server
            can't be reached or doesn't let us in. MLflow itself would try for minutes, and then
            show a traceback.
    """
    uri, name = store_uri(root), project_of(root).name
    file = file_of(uri)
    if file is None:
        return _client(uri, name)
    _check_file(file)
    artifacts = (home_of(root) / "mlartifacts").as_uri()
    # Of two first connections at once, the second would find half of the tables.
    with file.with_name(f"{file.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if file == home_of(root) / "mlflow.db":
            _move_artifacts(file, name, artifacts)
        return _client(uri, name, artifacts)


def _client(uri: str, name: str, artifacts: str | None = None) -> Client:
    """Return a client, our experiment made if need be; a server knows where its artifacts go."""
    mlflow.set_tracking_uri(uri)
    try:
        if file := file_of(uri):
            _make_tables(file)
        with _one_try():
            client = Client(uri, name)
            if not client.find_experiment():
                try:
                    client.create_experiment(name, artifact_location=artifacts)
                    client.find_experiment()
                except MlflowException:  # perhaps another process has made it meanwhile
                    if not client.find_experiment():
                        raise
    except Exception as error:  # of MLflow, SQLAlchemy, a driver: none of them is a fault of ours
        raise StoreError(_unusable(uri, error)) from error
    return client


def _unusable(uri: str, error: Exception) -> str:
    """Say in one line why a store can't be used, and what to do."""
    reason = str(error).rpartition("Caused by ")[2].strip().partition("\n")[0]
    file = file_of(uri)
    if file is None:
        return (
            f"MLFLOW_TRACKING_URI is {without_password(uri)}, which can't be used: {reason}. Start "
            "that server, set what it asks for, or unset the variable: the runs then go to "
            "mlflow.db in the repository"
        )
    if "schema" in reason:
        reason = f"made by another version of MLflow than {mlflow.__version__}, which is installed"
    return f"MLflow's {file}: {reason}; {_way_out(file)}"


def search_runs(client: Client, condition: str = "") -> list[Run]:
    """Return all runs of the experiment that meet a condition, newest first."""
    found: list[Run] = []
    token = None
    while page := client.search_runs([client.experiment_id], condition, page_token=token):
        found += page
        token = page.token
        if not token:
            break
    return found


def _make_tables(file: Path) -> None:
    """Have an empty store get all of MLflow's tables at once.

    MLflow makes them one by one. It can't go on with those that a killed process has left.
    """
    with closing(sqlite3.connect(file, timeout=PATIENCE)) as store, TemporaryDirectory() as folder:
        if _tables(store):
            return
        whole = Path(folder) / "mlflow.db"
        mlflow.MlflowClient(uri_of(whole)).search_experiments(max_results=1)
        with closing(sqlite3.connect(whole)) as made:
            made.backup(store)


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master")}


def _move_artifacts(file: Path, name: str, artifacts: str) -> None:
    """Have a store that was copied or moved with its clone keep artifacts beside it."""
    with closing(sqlite3.connect(file, timeout=PATIENCE)) as database, database:
        if "experiments" not in _tables(database):
            return
        query = "SELECT artifact_location FROM experiments WHERE name = ?"
        for (old,) in database.execute(query, (name,)).fetchall():
            if old == artifacts or not old.startswith("file:") or not old.endswith("/mlartifacts"):
                continue
            for table, column in _ARTIFACTS.items():
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                    f"WHERE substr({column}, 1, ?) = ?",
                    (artifacts, len(old) + 1, len(old) + 1, f"{old}/"),
                )
                database.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (artifacts, old)
                )


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
        return f"another process has held it for {PATIENCE} s: stop that process and try again"
    if isinstance(error, sqlite3.OperationalError):
        return "it must be a writable file on a disk with free space"
    return _way_out(path)


def _way_out(path: Path) -> str:
    return (
        f"move it out of the way (mv {path.name} {path.name}.old) and have the command `backfill` "
        "make the runs again from the reports"
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
