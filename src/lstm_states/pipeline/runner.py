"""Run one configuration's notebook with the parameters of params.yaml, and keep what came of it."""

from __future__ import annotations

import os
import platform
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError

from lstm_states import tracking
from lstm_states.config import CONFIGURATIONS, ConfigError, load_params, stage_of
from lstm_states.errors import ExperimentError
from lstm_states.pipeline.alone import alone
from lstm_states.pipeline.attempt import Attempt, begin_attempt
from lstm_states.pipeline.canonical import canonical_notebook
from lstm_states.pipeline.contract import check_parameters
from lstm_states.pipeline.machine import machine_class
from lstm_states.pipeline.preflight import (
    KERNEL,
    check_cache,
    check_data,
    check_kernel,
)
from lstm_states.pipeline.record import MADE_FROM, cell_seconds, provenance, write_run
from lstm_states.pipeline.reports import render_html
from lstm_states.pipeline.signals import ended_by_signals
from lstm_states.pipeline.stages import StageState, changes, current_states


def find_notebook(configuration: str, root: Path) -> Path:
    """Return ``notebooks/NN_<configuration>.ipynb``.

    Raises:
        ConfigError: if there isn't exactly one.
    """
    found = sorted((root / "notebooks").glob(f"[0-9][0-9]_{configuration}.ipynb"))
    if len(found) != 1:
        raise ConfigError(f"notebooks/NN_{configuration}.ipynb: {len(found)} found, not 1")
    return found[0]


def run_experiment(configuration: str, root: Path) -> Path:
    """Run the notebook of a configuration or of a trial and write its report.

    Args:
        configuration: A key of params.yaml, such as ``stacked``.
        root: The repository.

    Returns:
        ``reports/<configuration>``, made anew once everything has succeeded.

    Raises:
        ConfigError: if a parameter is wrong; no kernel was started.
        DataError: if the processed data isn't there; no kernel was started.
        StoreError: if the store of runs can't be used; no kernel was started.
        ExperimentError: if a cell failed, or what the stage depends on changed under way. The run
            is marked FAILED, ``reports/failed/<configuration>`` holds what there is of it, and the
            report stays as it was. Also if nothing could start: there is no kernel, or DVC's cache
            can't be written.
        ReproError: if another run of it is under way in this clone; nothing was started.
    """
    began = time.monotonic()
    source, parameters = _check_all(configuration, root)
    with alone(configuration, root), ended_by_signals():
        client = tracking.connect(root)
        tracking.close_dead_runs(client)
        stage = stage_of(configuration)
        state = current_states(root, stage)[stage]
        attempt = begin_attempt(source, parameters, state.key, root)
        run = tracking.create_run(
            client, configuration, parameters, root,
            notebook=source.relative_to(root).as_posix(), key=state.key,
        )  # fmt: skip
        run_id = run.info.run_id
        try:
            with attempt.logged():
                _execute(source, attempt, parameters, run_id, root)
            _check_unchanged(stage, state, root)
            _write_report(attempt, state)
            write_run(attempt.results, _record(run_id, attempt, state, root, began))
            # All that MLflow may refuse comes before the attempt, with its backups, goes.
            tracking.close_run(client, run_id, "FINISHED", attempt.results)
            tracking.drop_older_runs(client, run_id, state.key)
            if configuration in CONFIGURATIONS:
                tracking.register_champion(client, run_id, configuration)
            return _publish(attempt, root / "reports" / configuration)
        except BaseException as error:
            _close(client, run_id, error, attempt)
            raise


def _check_all(configuration: str, root: Path) -> tuple[Path, dict[str, Any]]:
    """Refuse what can't succeed before anything starts; return the notebook and its parameters."""
    settings = getattr(load_params(root / "params.yaml"), configuration)
    source = find_notebook(configuration, root)
    parameters = settings.model_dump()
    check_parameters(nbformat.read(source, as_version=4), parameters, source.name)
    if configuration in CONFIGURATIONS:
        check_data(configuration, settings, root)
    check_kernel()
    check_cache(root)
    return source, parameters


def _execute(
    source: Path, attempt: Attempt, parameters: dict[str, Any], run_id: str, root: Path
) -> None:
    os.environ.update(
        {
            "MLFLOW_RUN_ID": run_id,
            "MLFLOW_TRACKING_URI": tracking.store_uri(root),
            tracking.OUTPUT_VARIABLE: str(attempt.results),
            tracking.BACKUP_VARIABLE: str(attempt.backup),
            "PYTHONHASHSEED": "0",
        }
    )
    try:
        with ended_by_signals():  # once more: papermill leaves handlers of its own behind
            papermill.execute_notebook(
                source, attempt.notebook, parameters, kernel_name=KERNEL, cwd=root,
                progress_bar=True,
            )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        problem = f"failed in code cell {error.exec_count}: {error.ename}: {error.evalue}"
    except DeadKernelError:
        problem = "stopped: its kernel died, perhaps for want of memory"
    else:
        return
    kept = attempt.folder.relative_to(root)
    raise ExperimentError(
        f"{source.name} {problem}\nThe notebook up to there, its parameters, environment and log "
        f"are in {kept}; `lstm-states debug {kept.name}` opens it there"
    )


def _check_unchanged(stage: str, state: StageState, root: Path) -> None:
    """Refuse results of files that DVC would record as what they are now, not as what they were."""
    now = current_states(root, stage)[stage]
    if now != state:
        raise ExperimentError(
            f"changed while {stage} ran: {', '.join(changes(state, now))}. What it computed belongs"
            " to neither state and is not kept as a report; run it again"
        )


def _write_report(attempt: Attempt, state: StageState) -> None:
    notebook = canonical_notebook(nbformat.read(attempt.notebook, as_version=4))
    notebook.metadata[MADE_FROM] = provenance(state)
    nbformat.write(notebook, attempt.results / "report.ipynb")
    heading = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = heading.splitlines()[0].lstrip("# ")
    (attempt.results / "report.html").write_text(render_html(notebook, title=title))


def _record(
    run_id: str, attempt: Attempt, state: StageState, root: Path, began: float
) -> dict[str, Any]:
    commit, dirty = tracking.git_state(root)
    now = datetime.now(UTC)
    executed = nbformat.read(attempt.notebook, as_version=4)
    wall = time.monotonic() - began
    return {
        "key": state.key,
        "run": run_id,
        "store": tracking.without_password(tracking.store_uri(root)),
        "started": (now - timedelta(seconds=wall)).isoformat(timespec="seconds"),
        "ended": now.isoformat(timespec="seconds"),
        "commit": commit,
        "dirty": dirty,
        "host": platform.node(),
        "machine": machine_class(),
        "seconds": {
            "wall": round(wall, 1),
            **cell_seconds(executed),
        },
    }


def _publish(attempt: Attempt, report: Path) -> Path:
    """Move the results to where reports are, in place of what is there."""
    tracking.empty_folder(report)
    for path in attempt.results.iterdir():
        shutil.move(path, report / path.name)
    shutil.rmtree(attempt.folder)
    return report


def _close(client: Any, run_id: str, error: BaseException, attempt: Attempt) -> None:
    """Mark a run for what ended it; if even that can't be done, the next command will."""
    status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
    try:
        tracking.close_run(client, run_id, status, attempt.folder)
    except Exception as problem:
        error.add_note(f"MLflow's run {run_id} could not be marked {status}: {problem}")
