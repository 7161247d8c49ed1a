"""The record of every run in MLflow: a SQLite store at the root, or the server that is set."""

import os

# Before MLflow is imported: it would otherwise try to reach the network.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from lstm_states.tracking.processes import close_dead_runs
from lstm_states.tracking.recorder import (
    BACKUP_VARIABLE,
    OUTPUT_VARIABLE,
    Recorder,
    empty_folder,
    start_recording,
)
from lstm_states.tracking.registry import register_champion
from lstm_states.tracking.restored import fill_run
from lstm_states.tracking.runs import (
    KEY,
    active_run_id,
    close_run,
    create_run,
    drop_older_runs,
    finished_runs,
    git_state,
    log_metrics,
)
from lstm_states.tracking.store import (
    EXPERIMENT,
    connect,
    search_runs,
    store_uri,
    without_password,
)

__all__ = [
    "BACKUP_VARIABLE",
    "EXPERIMENT",
    "KEY",
    "OUTPUT_VARIABLE",
    "Recorder",
    "active_run_id",
    "close_dead_runs",
    "close_run",
    "connect",
    "create_run",
    "drop_older_runs",
    "empty_folder",
    "fill_run",
    "finished_runs",
    "git_state",
    "log_metrics",
    "register_champion",
    "search_runs",
    "start_recording",
    "store_uri",
    "without_password",
]
