"""The store of runs: a SQLite file at the root of the repository, or the server that is set."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import mlflow

EXPERIMENT = "lstm-states"

logging.getLogger("mlflow").setLevel(logging.WARNING)


def store_uri(root: Path) -> str:
    """Return ``MLFLOW_TRACKING_URI`` where it is set, else the address of ``mlflow.db``.

    A relative SQLite path counts from the repository, not from wherever a notebook runs.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    path = uri.removeprefix("sqlite:///")
    return uri if path == uri else f"sqlite:///{_home(root) / path}"


def connect(root: Path) -> mlflow.MlflowClient:
    """Return a client of the store that :func:`store_uri` names, its experiment made if need be."""
    uri = store_uri(root)
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    if client.get_experiment_by_name(EXPERIMENT) is None:
        # A server knows where its artifacts go; beside our own store they would follow the cwd.
        artifacts = (_home(root) / "mlartifacts").as_uri() if uri.startswith("sqlite") else None
        client.create_experiment(EXPERIMENT, artifact_location=artifacts)
    return client


def _home(root: Path) -> Path:
    """Return where the store is: ``root``, or the clone that a queued experiment belongs to."""
    # `dvc exp run --queue` works in <clone>/.dvc/tmp/exps/..., which is thrown away.
    text = root.as_posix()
    return Path(text.partition("/.dvc/tmp/exps/")[0])
