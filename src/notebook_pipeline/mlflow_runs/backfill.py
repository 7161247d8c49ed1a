"""Create the MLflow run of every state of the pipeline whose outputs exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from notebook_pipeline.stages.outputs import RECORD
from notebook_pipeline.stages.points import FILE, read_table
from notebook_pipeline.stages.provenance import read_run, write_run
from notebook_pipeline.stages.states import (
    StageInputs,
    locked_inputs,
    notebooks_of,
    open_repo,
    output_problems,
    sweeps_of,
)


def record_missing_runs(root: Path) -> list[str]:
    """Make a run in MLflow for each state of dvc.lock that has outputs here but no run.

    DVC restores outputs from its cache or from a remote without running anything. What MLflow then
    lacks is filled in from the outputs, and so are files that runs have lost. Runs whose process
    is gone are marked KILLED.

    Returns:
        What was done, a line for each run.

    Raises:
        StoreError: if the store of runs can't be used.
    """
    from notebook_pipeline import mlflow_runs

    client = mlflow_runs.connect(root)
    mlflow_runs.close_dead_runs(client)
    known = mlflow_runs.finished_runs(client)
    done = []
    for name, stage, state in _restored(root):
        if state.key not in known:
            settings = state.parameters.get(name, {})
            run = mlflow_runs.create_run(client, name, settings, root, stage=stage, key=state.key)
            mlflow_runs.fill_run(client, run.info.run_id, root / "reports" / name)
            done.append(f"created the run of {stage} from its outputs")
            run_id = run.info.run_id
        else:
            run_id = known[state.key][0].info.run_id
            mlflow_runs.drop_older_runs(client, run_id, state.key)
            if files := mlflow_runs.restore_artifacts(client, run_id, root / "reports" / name):
                done.append(f"restored in the run of {stage}: {', '.join(files)}")
        store = mlflow_runs.without_password(mlflow_runs.store_uri(root))
        _point_to(client, run_id, root / "reports" / name, store, state)
    return done + list(_record_sweeps(client, root, known))


def _record_sweeps(client: Any, root: Path, known: Mapping[str, Any]) -> Iterator[str]:
    """Make the runs of sweeps that have none, from tables that are here as dvc.lock tells them."""
    from notebook_pipeline import mlflow_runs

    store = mlflow_runs.without_password(mlflow_runs.store_uri(root))
    for name, stage, state in _restored(root, sweeps_of):
        folder = root / "reports" / name
        if state.key in known:
            run_id = known[state.key][0].info.run_id
        else:
            table, made_by = read_table(name, root), {"stage": stage, "key": state.key}
            run = mlflow_runs.SweepRun(client, name, table.shared, root, **made_by)
            for given, seed, metrics in table.each():
                run.log(given, seed, metrics)
            run.add(folder / FILE)
            run.end("FINISHED")
            run_id = run.run_id
            yield f"created the runs of {stage} from its table"
        record = {"key": state.key, "run": run_id, "store": store}
        if {**(read_run(folder) or {}), **record} != read_run(folder):
            write_run(folder, record)


def _point_to(client: Any, run_id: str, folder: Path, store: str, state: StageInputs) -> None:
    """Write beside a report the record of its run: the run's own copy where it has one."""
    record = read_run(folder) or {}
    if (record.get("run"), record.get("key"), record.get("store")) == (run_id, state.key, store):
        return
    if RECORD in {file.path for file in client.list_artifacts(run_id)}:
        client.download_artifacts(run_id, RECORD, str(folder))
        record = read_run(folder) or {}
    if record.get("key") != state.key:
        record = {"key": state.key}
    write_run(folder, {**record, "run": run_id, "store": store})


def _restored(
    root: Path, stages_of: Callable[[Repo, Path], Mapping[str, str]] = notebooks_of
) -> Iterator[tuple[str, str, StageInputs]]:
    """Yield notebooks, their stages and states, whose outputs are here as dvc.lock tells them.

    Args:
        root: The repository.
        stages_of: Returns the stages by name; others than of notebooks if it does.
    """
    states = locked_inputs(root)
    with open_repo(root) as repo:
        for name, stage in stages_of(repo, root).items():
            state = states.get(stage)
            if state and not output_problems(repo, stage):
                yield name, stage, state
