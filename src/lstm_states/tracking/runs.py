"""What a run is called, what it was made from, what is logged to it and how it ends."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Param, Run
from mlflow.entities.model_registry import ModelVersion

from lstm_states.config import stage_of
from lstm_states.tracking.processes import process_tags
from lstm_states.tracking.registry import CHAMPION, registered_name
from lstm_states.tracking.store import EXPERIMENT, search_runs

KEY = "stage.key"
"""Tag of a pipeline's run: the key of the state of its stage. A state has one finished run."""

RESTORED = "restored"
"""Tag of a run that was made from outputs."""

REPLACED = "stage.replaced_by"
"""Tag of a run that people have made something of: the run that took its place."""


def create_run(
    client: mlflow.MlflowClient,
    configuration: str,
    settings: Mapping[str, Any],
    root: Path,
    *,
    notebook: str,
    key: str = "",
) -> Run:
    """Make a run with a readable name, the parameters, and tags that say what it was made from.

    Args:
        client: Of the store.
        configuration: Such as ``stacked``.
        settings: The notebook's parameters.
        root: The repository.
        notebook: The notebook's path in it.
        key: Of the state of the stage; empty if a person runs the notebook, not the pipeline.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    commit, dirty = git_state(root)
    lock = root / "dvc.lock"
    units = "-".join(map(str, np.atleast_1d(settings.get("units", []))))
    about = " ".join(filter(None, (configuration, settings.get("dataset"), units)))
    name = f"{about} @{commit[:7] or 'no-commit'}"
    tags = {
        "configuration": configuration,
        "interactive": str(not key).lower(),
        "stage": stage_of(configuration) if key else "",
        KEY: key,
        "git.dirty": str(dirty).lower(),
        "dvc.lock.sha256": _digest(lock.read_bytes()) if lock.is_file() else "",
        "params.sha256": _digest(json.dumps(dict(settings), sort_keys=True).encode()),
        "mlflow.source.name": notebook,
        "mlflow.source.type": "NOTEBOOK",
        "mlflow.source.git.commit": commit,
        **process_tags(),
    }
    run = client.create_run(experiment.experiment_id, tags=tags, run_name=name)
    client.log_batch(
        run.info.run_id, params=[Param(name, str(value)) for name, value in settings.items()]
    )
    return run


def close_run(
    client: mlflow.MlflowClient, run_id: str, status: str, folder: Path, *, leave: str = ""
) -> None:
    """Give a run its final ``status``, and what ``folder`` holds that it doesn't have yet.

    Hidden files are left out, and the one named ``leave``.
    """
    present = {leave, *(file.path for file in client.list_artifacts(run_id))}
    for path in sorted(folder.glob("[!.]*")):
        if path.name not in present:
            client.log_artifact(run_id, str(path))
    client.set_terminated(run_id, status)


def finished_runs(client: mlflow.MlflowClient) -> dict[str, list[Run]]:
    """Return the pipeline's finished runs by the key of their state, the newest first."""
    found: dict[str, list[Run]] = {}
    for run in search_runs(client, "attributes.status = 'FINISHED'"):
        if key := run.data.tags.get(KEY):
            found.setdefault(key, []).append(run)
    return found


def drop_older_runs(client: mlflow.MlflowClient, run_id: str, key: str) -> None:
    """Delete the finished runs of a state that are older than one, with their models.

    A stage that is run again in the same state leaves one run. What is deleted stays in MLflow's
    bin until ``mlflow gc`` empties it; a version of the pipeline's own registered model does not.
    A run that people have made something of, by a note, a tag, or a model registered under a name
    or an alias of their own, stays, with the tag :data:`REPLACED` in place of :data:`KEY`.
    """
    latest = client.get_run(run_id)
    for run in finished_runs(client).get(key, []):
        old = run.info.run_id
        if run.info.start_time >= latest.info.start_time:
            continue
        versions = [
            client.get_model_version(found.name, found.version)  # what is found lacks its aliases
            for found in client.search_model_versions(f"run_id = '{old}'")
        ]
        if _is_used(run, latest, versions):
            client.set_tag(old, REPLACED, run_id)
            client.delete_tag(old, KEY)
            continue
        for version in versions:
            client.delete_model_version(version.name, version.version)
        for model in run.outputs.model_outputs if run.outputs else ():
            client.delete_logged_model(model.model_id)
        client.delete_run(old)


def _is_used(run: Run, latest: Run, versions: Iterable[ModelVersion]) -> bool:
    """Whether people have made something of a run that the pipeline has not."""
    ours = registered_name(run.data.tags["configuration"])
    return bool(
        run.data.tags.keys() - latest.data.tags.keys() - {RESTORED}
        or any(version.name != ours or set(version.aliases) - {CHAMPION} for version in versions)
    )


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


def git_state(root: Path) -> tuple[str, bool]:
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
