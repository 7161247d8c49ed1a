"""What a run is called, what it was made from, what is logged to it and how it ends."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Run

from lstm_states.config import stage_of
from lstm_states.tracking.store import EXPERIMENT


def create_run(
    client: mlflow.MlflowClient,
    configuration: str,
    settings: Mapping[str, Any],
    root: Path,
    *,
    notebook: str,
    interactive: bool,
) -> Run:
    """Make a run with a readable name, the parameters, and tags that say what it was made from.

    Args:
        client: Of the store.
        configuration: Such as ``stacked``.
        settings: The notebook's parameters.
        root: The repository.
        notebook: The notebook's path in it.
        interactive: Whether a person runs it, not the pipeline.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    commit, dirty = _git_state(root)
    lock = root / "dvc.lock"
    units = "-".join(map(str, np.atleast_1d(settings.get("units", []))))
    about = " ".join(filter(None, (configuration, settings.get("dataset"), units)))
    name = f"{about} @{commit[:7] or 'no-commit'}"
    tags = {
        "configuration": configuration,
        "interactive": str(interactive).lower(),
        "stage": "" if interactive else stage_of(configuration),
        "git.dirty": str(dirty).lower(),
        "dvc.lock.sha256": _digest(lock.read_bytes()) if lock.is_file() else "",
        "params.sha256": _digest(json.dumps(dict(settings), sort_keys=True).encode()),
        "mlflow.source.name": notebook,
        "mlflow.source.type": "NOTEBOOK",
        "mlflow.source.git.commit": commit,
    }
    run = client.create_run(experiment.experiment_id, tags=tags, run_name=name)
    for key, value in settings.items():
        client.log_param(run.info.run_id, key, value)
    return run


def close_run(client: mlflow.MlflowClient, run_id: str, status: str, *folders: Path) -> None:
    """Give a run its final ``status``, and what ``folders`` hold that it doesn't have yet."""
    present = {file.path for file in client.list_artifacts(run_id)}
    for path in (p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir())):
        if path.name not in present:
            client.log_artifact(run_id, str(path))
    client.set_terminated(run_id, status)


def active_run_id() -> str:
    """Return the id of the run that is active in this thread.

    Raises:
        RuntimeError: if there is none; MLflow itself would start a stray one.
    """
    run = mlflow.active_run()
    if run is None:
        raise RuntimeError("no MLflow run is active; start one: with mlflow.start_run(): ...")
    return run.info.run_id


def log_metrics(run_id: str, metrics: Mapping[str, float], *, step: int) -> None:
    """Log ``metrics`` to a run, all but those that are NaN: there was nothing to measure."""
    known = {name: value for name, value in metrics.items() if not np.isnan(value)}
    mlflow.log_metrics(known, step=step, run_id=run_id)


def _git_state(root: Path) -> tuple[str, bool]:
    """Return the commit (empty without one) and whether a source file differs from it.

    What the pipeline itself rewrites, reports and dvc.lock, is no source.
    """
    sources = [".", ":(exclude)reports", ":(exclude)dvc.lock"]
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    return commit, bool(_git(root, "status", "--porcelain", "--", *sources))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
