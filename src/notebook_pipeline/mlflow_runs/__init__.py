"""Record every run in MLflow: in a SQLite store at the root, or on the server that is set."""

import os

# Before MLflow is imported: it would otherwise try to reach the network.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from notebook_pipeline.mlflow_runs.processes import close_dead_runs
from notebook_pipeline.mlflow_runs.registry import register_champion
from notebook_pipeline.mlflow_runs.restored import fill_run
from notebook_pipeline.mlflow_runs.runs import (
    KEY,
    add_to_run,
    close_run,
    create_run,
    drop_older_runs,
    finished_runs,
    git_state,
    has_lost_model,
    missing_artifacts,
    restore_artifacts,
)
from notebook_pipeline.mlflow_runs.store import (
    Client,
    connect,
    search_runs,
    store_uri,
    without_password,
)
from notebook_pipeline.mlflow_runs.sweeps import POINT, SweepRun

__all__ = [
    "KEY",
    "POINT",
    "Client",
    "SweepRun",
    "add_to_run",
    "close_dead_runs",
    "close_run",
    "connect",
    "create_run",
    "drop_older_runs",
    "fill_run",
    "finished_runs",
    "git_state",
    "has_lost_model",
    "missing_artifacts",
    "register_champion",
    "restore_artifacts",
    "search_runs",
    "store_uri",
    "without_password",
]
