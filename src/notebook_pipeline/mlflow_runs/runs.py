"""The title of a run, its inputs, its logged values and its end."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Param, Run
from mlflow.entities.model_registry import ModelVersion

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.mlflow_runs.processes import process_tags
from notebook_pipeline.mlflow_runs.registry import CHAMPION, registered_name
from notebook_pipeline.mlflow_runs.store import Client, connect, search_runs
from notebook_pipeline.project import project_of
from notebook_pipeline.repository import find_notebook, git
from notebook_pipeline.stages.outputs import RECORD
from notebook_pipeline.stages.provenance import read_run
from notebook_pipeline.stages.store_address import store_uri, without_password

KEY = "stage.key"
"""Tag of a pipeline's run: the key of the state of its stage. A state has one finished run."""

RESTORED = "restored"
"""Tag of a run that was made from outputs."""

REPLACED = "stage.replaced_by"
"""Tag of a run that people have made something of: the run that took its place."""


def create_run(
    client: Client,
    name: str,
    settings: Mapping[str, Any],
    root: Path,
    *,
    stage: str = "",
    key: str = "",
    source: str = "",
) -> Run:
    """Make a run with a readable name, the parameters, and tags that say what it was made from.

    Args:
        client: Of the store.
        name: The notebook's.
        settings: Its parameters.
        root: The repository.
        stage: The one that runs it; empty if a person does, not the pipeline.
        key: Of the state of the stage.
        source: The file that says what runs, where that is not the notebook.
    """
    state = git_state(root)
    about = project_of(root).title(name, settings)
    experiment_name = os.environ.get("DVC_EXP_NAME", "")
    run_name = f"{about} @{state.commit[:7] or 'no-commit'} {experiment_name}".strip()
    tags = {
        "configuration": name,
        "interactive": str(not key).lower(),
        "stage": stage,
        KEY: key,
        "dvc.experiment": experiment_name,
        "params.sha256": _digest(json.dumps(dict(settings), sort_keys=True).encode()),
        "mlflow.source.name": source or find_notebook(name, root).relative_to(root).as_posix(),
        "mlflow.source.type": "LOCAL" if source else "NOTEBOOK",
        **_state_tags(state, root),
        **process_tags(),
    }
    run = client.create_run(client.experiment_id, tags=tags, run_name=run_name)
    client.log_batch(
        run.info.run_id, params=[Param(key, str(value)) for key, value in settings.items()]
    )
    return run


def _state_tags(state: GitState, root: Path) -> dict[str, str]:
    """Return tags that say of which commit and of which dvc.lock a run is."""
    lock = root / "dvc.lock"
    return {
        "git.dirty": "unknown" if state.dirty is None else str(state.dirty).lower(),
        "git.problem": state.problem,
        "mlflow.source.git.commit": state.commit,
        "dvc.lock.sha256": _digest(lock.read_bytes()) if lock.is_file() else "",
    }


def close_run(client: Client, run_id: str, status: str, folder: Path, *, leave: str = "") -> None:
    """Give a run its final ``status``, and what ``folder`` holds that it doesn't have yet.

    Hidden files are left out, and the one named ``leave``.
    """
    present = {leave, *(file.path for file in client.list_artifacts(run_id))}
    for path in sorted(folder.glob("[!.]*")):
        if path.name not in present:
            client.log_artifact(run_id, str(path))
    client.set_terminated(run_id, status)


def missing_artifacts(client: Client, run_id: str, folder: Path, inside: str = "") -> list[str]:
    """Name what ``folder`` holds and a run lacks, or has in another size.

    Hidden files are left out, and the record of the run. A page that the run has may be of another
    size: it is made again whenever its style changes.
    """
    kept = {file.path: file for file in client.list_artifacts(run_id, inside or None)}
    missing = []
    for path in sorted((folder / inside).glob("[!.]*")):
        name = path.relative_to(folder).as_posix()
        if name == RECORD or (path.suffix == ".html" and name in kept):
            continue
        if name not in kept or (path.is_file() and path.stat().st_size != kept[name].file_size):
            missing.append(name)
        elif path.is_dir():
            missing += missing_artifacts(client, run_id, folder, name)
    return missing


def restore_artifacts(client: Client, run_id: str, folder: Path) -> list[str]:
    """Give a run again what it lacks of ``folder``, and name it."""
    missing = missing_artifacts(client, run_id, folder)
    for name in missing:
        client.log_artifact(run_id, str(folder / name), name.rpartition("/")[0] or None)
    return missing


def add_to_run(page: Path, root: Path) -> None:
    """Log a page that was made beside a report, to the run of the report if it is in the store."""
    record = read_run(page.parent)
    if record and record["store"] == without_password(store_uri(root)):
        client = connect(root)
        if search_runs(client, f"attributes.run_id = '{record['run']}'"):
            client.log_artifact(record["run"], str(page))


def has_lost_model(client: Client, run: Run) -> bool:
    """Whether a run logged a model whose files are gone."""
    outputs = run.outputs.model_outputs if run.outputs else ()
    return any(not client.list_logged_model_artifacts(model.model_id) for model in outputs)


def finished_runs(client: Client) -> dict[str, list[Run]]:
    """Return the pipeline's finished runs by the key of their state, the newest first."""
    found: dict[str, list[Run]] = {}
    for run in search_runs(client, "attributes.status = 'FINISHED'"):
        if key := run.data.tags.get(KEY):
            found.setdefault(key, []).append(run)
    return found


def drop_older_runs(client: Client, run_id: str, key: str) -> None:
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
        if _is_used(client, run, latest, versions):
            client.set_tag(old, REPLACED, run_id)
            client.delete_tag(old, KEY)
            continue
        for version in versions:
            client.delete_model_version(version.name, version.version)
        for model in run.outputs.model_outputs if run.outputs else ():
            client.delete_logged_model(model.model_id)
        client.delete_run(old)


def _is_used(client: Client, run: Run, latest: Run, versions: Iterable[ModelVersion]) -> bool:
    """Whether people have made something of a run that the pipeline has not."""
    ours = registered_name(client, run.data.tags["configuration"])
    return bool(
        run.data.tags.keys() - latest.data.tags.keys() - {RESTORED}
        or any(version.name != ours or set(version.aliases) - {CHAMPION} for version in versions)
    )


@dataclass(frozen=True)
class GitState:
    """What git tells of a repository.

    Attributes:
        commit: Empty where there is none, or git doesn't tell.
        dirty: Whether a source file differs from the commit; None where git doesn't tell. What the
            pipeline itself rewrites, reports and dvc.lock, is no source.
        problem: Git's words where it refuses to tell; empty where it does.
    """

    commit: str
    dirty: bool | None
    problem: str


def git_state(root: Path) -> GitState:
    """Ask git which commit a repository is at, and whether its sources differ from it."""
    sources = [".", ":(exclude)reports", ":(exclude)dvc.lock"]
    try:
        changed = git(root, "status", "--porcelain", "--untracked-files=normal", "--", *sources)
    except ConfigError as error:
        return GitState("", None, str(error))
    commit = ""
    with suppress(ConfigError):  # there is none yet
        commit = git(root, "rev-parse", "--verify", "--quiet", "HEAD").strip()
    return GitState(commit, bool(changed), "")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
