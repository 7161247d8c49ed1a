"""A run in MLflow for every state of the pipeline whose outputs are here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lstm_states.config import CONFIGURATIONS, TRIALS, stage_of
from lstm_states.pipeline.record import read_run, write_run
from lstm_states.pipeline.stages import StageState, locked_states, open_repo, output_problems


def is_recorded(root: Path) -> bool:
    """Whether each report lies beside the record of a run of its state, in our own store.

    Costs next to nothing: MLflow is not asked.
    """
    store = root / "mlflow.db"
    if os.environ.get("MLFLOW_TRACKING_URI") or not store.is_file():
        return False
    known = {
        name: record["key"]
        for name in (*CONFIGURATIONS, *TRIALS)
        if (record := read_run(root / "reports" / name)) and record["store"] == f"sqlite:///{store}"
    }
    states = locked_states(root)
    return all(
        known.get(name) == states[stage_of(name)].key
        for name in (*CONFIGURATIONS, *TRIALS)
        if stage_of(name) in states
    )


def record_missing_runs(root: Path) -> list[str]:
    """Make a run in MLflow for each state of dvc.lock that has outputs here but no run.

    DVC restores outputs from its cache or from a remote without running anything. What MLflow then
    lacks is filled in from the outputs. Runs whose process is gone are marked KILLED.

    Returns:
        The names of the stages whose runs were made.

    Raises:
        StoreError: if the store of runs can't be used.
    """
    from lstm_states import tracking

    client = tracking.connect(root)
    tracking.close_dead_runs(client)
    known = tracking.finished_runs(client)
    made = []
    for name, state in _restored(root):
        if state.key not in known:
            [notebook] = (path for path in state.dependencies if path.startswith("notebooks/"))
            settings = state.parameters[name]
            run = tracking.create_run(
                client, name, settings, root, notebook=notebook, key=state.key
            )
            tracking.fill_run(client, run.info.run_id, root / "reports" / name)
            made.append(stage_of(name))
            run_id = run.info.run_id
        else:
            run_id = known[state.key][0].info.run_id
            tracking.drop_older_runs(client, run_id, state.key)
        store = tracking.without_password(tracking.store_uri(root))
        _point_to(client, run_id, root / "reports" / name, store, state)
    return made


def _point_to(client: Any, run_id: str, folder: Path, store: str, state: StageState) -> None:
    """Write beside a report the record of its run: the run's own copy where it has one."""
    record = read_run(folder) or {}
    if (record.get("run"), record.get("key"), record.get("store")) == (run_id, state.key, store):
        return
    if "run.json" in {file.path for file in client.list_artifacts(run_id)}:
        client.download_artifacts(run_id, "run.json", str(folder))
        record = read_run(folder) or {}
    if record.get("key") != state.key:
        record = {"key": state.key}
    write_run(folder, {**record, "run": run_id, "store": store})


def _restored(root: Path) -> Iterator[tuple[str, StageState]]:
    """Yield names and states whose outputs are all here, as dvc.lock tells them."""
    states = locked_states(root)
    with open_repo(root) as repo:
        for name in (*CONFIGURATIONS, *TRIALS):
            state = states.get(stage_of(name))
            if state and not output_problems(repo, stage_of(name)):
                yield name, state
