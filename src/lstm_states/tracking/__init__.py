"""The record of every run in MLflow: a SQLite store at the root, or the server that is set."""

import os

# Before MLflow is imported: it would otherwise try to reach the network.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from lstm_states.tracking.recorder import (
    BACKUP_VARIABLE,
    OUTPUT_VARIABLE,
    Recorder,
    empty_folder,
    start_recording,
)
from lstm_states.tracking.registry import register_champion
from lstm_states.tracking.runs import active_run_id, close_run, create_run, log_metrics
from lstm_states.tracking.store import EXPERIMENT, connect, store_uri

__all__ = [
    "BACKUP_VARIABLE",
    "EXPERIMENT",
    "OUTPUT_VARIABLE",
    "Recorder",
    "active_run_id",
    "close_run",
    "connect",
    "create_run",
    "empty_folder",
    "log_metrics",
    "register_champion",
    "start_recording",
    "store_uri",
]
