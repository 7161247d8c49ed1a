"""Run a notebook with the parameters of params.yaml, and keep its results."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import papermill
from dvc_data.hashfile.hash import hash_file
from dvc_objects.fs.local import localfs
from mlflow.entities import Run
from nbclient.exceptions import DeadKernelError

from notebook_pipeline import mlflow_runs
from notebook_pipeline.errors import ConfigError, NotebookError
from notebook_pipeline.parameters.file import load_parameters
from notebook_pipeline.parameters.names import near_or_all
from notebook_pipeline.project import Project, project_of
from notebook_pipeline.reports.canonical import canonical_notebook
from notebook_pipeline.reports.page import write_report
from notebook_pipeline.repository import check_loaded_code, find_notebook
from notebook_pipeline.results import BACKUP_VARIABLE, OUTPUT_VARIABLE, empty_folder
from notebook_pipeline.run.attempt import Attempt, begin_attempt
from notebook_pipeline.run.contract import check_parameters, check_types
from notebook_pipeline.run.preflight import KERNEL, OwnKernelManager, check_cache, check_kernel
from notebook_pipeline.stages.outputs import REPORT
from notebook_pipeline.stages.provenance import MADE_FROM, cell_seconds, provenance, write_run
from notebook_pipeline.stages.states import (
    StageInputs,
    changes,
    current_inputs,
    notebook_stages,
    open_repo,
)
from notebook_pipeline.system.lock import one_at_a_time
from notebook_pipeline.system.machine import machine_class
from notebook_pipeline.system.signals import ended_by_signals

PATIENCE = 600
"""Seconds that a kernel has to start, and a cell's last output to arrive.

A busy machine takes longer than papermill's own 60 and 4. A kernel that dies is noticed at once.
"""


def run_notebook(name: str, root: Path) -> Path:
    """Run a notebook and write its report.

    Args:
        name: The notebook's, a key of params.yaml.
        root: The repository.

    Returns:
        ``reports/<name>``, replaced once everything has succeeded. It has no ``report.html`` if
        that can't be rendered, which is told.

    Raises:
        ConfigError: if a parameter is wrong; no kernel was started.
        UserError: if the project's own preflight refuses it; no kernel was started.
        StoreError: if the store of runs can't be used; no kernel was started.
        NotebookError: if a cell failed, or what the stage depends on changed under way. The run
            is marked FAILED, ``reports/failed/<name>`` holds what there is of it, and the
            report stays as it was. Also if nothing could start: there is no kernel, or DVC's cache
            can't be written.
        ReproError: if another run of it is under way in this clone; nothing was started.
    """
    began = time.monotonic()
    source, stage, parameters = _check_all(name, root)
    with one_at_a_time(name, root), ended_by_signals():
        client = mlflow_runs.connect(root)
        mlflow_runs.close_dead_runs(client)
        state = current_inputs(root, stage)[stage]
        attempt = begin_attempt(source, parameters, state.key, root)
        run = mlflow_runs.create_run(client, name, parameters, root, stage=stage, key=state.key)
        run_id = run.info.run_id
        try:
            with attempt.logged():
                _execute(source, attempt, parameters, run_id, root)
            _check_unchanged(stage, state, root)
            _write_report(attempt, name, state, root)
            write_run(attempt.results, _record(run_id, attempt, state, root, began))
            # All that MLflow may refuse comes before the attempt, with its backups, goes.
            _finish(client, run, attempt, project_of(root))
            return _publish(attempt, root / "reports" / name)
        except BaseException as error:
            _close(client, run_id, error, attempt)
            raise


def _check_all(name: str, root: Path) -> tuple[Path, str, dict[str, Any]]:
    """Refuse what can't succeed before anything starts; return notebook, stage and parameters."""
    params, stages = load_parameters(root), notebook_stages(root)
    for known, where in ((type(params).model_fields, "params.yaml"), (stages, "dvc.yaml")):
        if name not in known:
            raise ConfigError(f"{where} has no notebook {name!r}; {near_or_all(name, known)}")
    source, settings = find_notebook(name, root), getattr(params, name)
    parameters = settings.model_dump()
    notebook, project = _notebook(source), project_of(root)
    check_parameters(notebook, parameters, source.name)
    if project.schema is None:
        check_types(notebook, parameters, source.name)
    project.preflight(name, settings, root)
    check_kernel()
    check_cache(root)
    return source, stages[name], parameters


def _notebook(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except nbformat.reader.NotJSONError:
        raise ConfigError(f"{path.name} is not a notebook: it isn't JSON") from None


def _execute(
    source: Path, attempt: Attempt, parameters: dict[str, Any], run_id: str, root: Path
) -> None:
    os.environ.update(
        {
            "MLFLOW_RUN_ID": run_id,
            "MLFLOW_TRACKING_URI": mlflow_runs.store_uri(root),
            OUTPUT_VARIABLE: str(attempt.results),
            BACKUP_VARIABLE: str(attempt.backup),
            "IPYTHONDIR": str(attempt.ipython),
        }
    )
    try:
        with ended_by_signals():  # once more: papermill leaves handlers of its own behind
            papermill.execute_notebook(
                *map(_literal, (source, attempt.notebook)), parameters, kernel_name=KERNEL,
                kernel_manager_class=OwnKernelManager, cwd=root, progress_bar=True,
                start_timeout=PATIENCE, iopub_timeout=PATIENCE,
            )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        problem = f"failed in code cell {error.exec_count}: {error.ename}: {error.evalue}"
    except DeadKernelError:
        problem = "stopped: its kernel died, possibly out of memory"
    else:
        return
    kept = attempt.folder.relative_to(root)
    raise NotebookError(
        f"{source.name} {problem}\nThe notebook up to that cell, its parameters, environment and "
        f"log are in {kept}; `{project_of(root).command} debug {kept.name}` opens it at that cell"
    )


def _literal(path: Path) -> str:
    """Return a path in which papermill finds no names of parameters to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _check_unchanged(stage: str, state: StageInputs, root: Path) -> None:
    """Refuse results of files that DVC would record as what they are now, not as what they were."""
    now = current_inputs(root, stage)[stage]
    if now != state:
        raise NotebookError(
            f"changed while {stage} ran: {', '.join(changes(state, now))}. Its results belong"
            " to neither state and are not kept as a report; run it again"
        )
    check_loaded_code(root)


def _write_report(attempt: Attempt, name: str, state: StageInputs, root: Path) -> None:
    """Write the report, and its page for those who run a single stage.

    The page is an output of the stage `pages`. A page that can't be rendered fails that stage, and
    leaves the results of this one alone.
    """
    notebook = canonical_notebook(nbformat.read(attempt.notebook, as_version=4))
    notebook.metadata[MADE_FROM] = provenance(state)
    nbformat.write(notebook, attempt.results / REPORT)
    project = project_of(root)
    try:
        _cache(write_report(attempt.results, name, project), root)
    except Exception as problem:  # whatever it is: a template, a picture that is not embedded
        told = f"reports/{name}/report.html can't be rendered: {problem}"
        print(f"{project.command}: {told}", file=sys.stderr)


def _cache(page: Path, root: Path) -> None:
    """Copy a page to DVC's cache: DVC replaces without force only what it can restore."""
    _, digest = hash_file(str(page), localfs, "md5")
    with open_repo(root) as repo:
        repo.cache.local.add(str(page), localfs, digest.value)


def _record(
    run_id: str, attempt: Attempt, state: StageInputs, root: Path, began: float
) -> dict[str, Any]:
    git = mlflow_runs.git_state(root)
    now = datetime.now(UTC)
    executed = nbformat.read(attempt.notebook, as_version=4)
    wall = time.monotonic() - began
    return {
        "key": state.key,
        "run": run_id,
        "store": mlflow_runs.without_password(mlflow_runs.store_uri(root)),
        "started": (now - timedelta(seconds=wall)).isoformat(timespec="seconds"),
        "ended": now.isoformat(timespec="seconds"),
        "commit": git.commit,
        "dirty": git.dirty,
        **({"git": git.problem} if git.problem else {}),
        "host": platform.node(),
        "machine": machine_class(project_of(root).packages),
        "seconds": {
            "wall": round(wall, 1),
            **cell_seconds(executed),
        },
    }


def _finish(client: Any, run: Run, attempt: Attempt, project: Project) -> None:
    """End a run that has succeeded, in place of older ones of its state."""
    run_id, tags = run.info.run_id, run.data.tags
    mlflow_runs.close_run(client, run_id, "FINISHED", attempt.results)
    mlflow_runs.drop_older_runs(client, run_id, tags[mlflow_runs.KEY])
    if project.champion:
        mlflow_runs.register_champion(client, run_id, tags["configuration"], project.champion)


def _publish(attempt: Attempt, report: Path) -> Path:
    """Move the results to where reports are, in place of what is there."""
    empty_folder(report)
    for path in attempt.results.iterdir():
        shutil.move(path, report / path.name)
    shutil.rmtree(attempt.folder)
    return report


def _close(client: Any, run_id: str, error: BaseException, attempt: Attempt) -> None:
    """Mark a run for what ended it; if even that can't be done, the next command will."""
    status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
    try:
        mlflow_runs.close_run(client, run_id, status, attempt.folder)
    except Exception as problem:
        error.add_note(f"MLflow's run {run_id} could not be marked {status}: {problem}")
