"""Run one configuration's notebook with the parameters of params.yaml, and keep what came of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError

from lstm_states import tracking
from lstm_states.config import CONFIGURATIONS, ConfigError, load_params
from lstm_states.pipeline.canonical import canonical_notebook
from lstm_states.pipeline.contract import check_parameters
from lstm_states.pipeline.reports import render_html
from lstm_states.schema import DataError


class ExperimentError(RuntimeError):
    """A notebook stopped; the message names the cell, the error and where the rest is."""


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
        ExperimentError: if a cell failed. The MLflow run is marked FAILED, the partial notebook
            and its results stay in ``reports/failed/<configuration>``, the report as it was.
    """
    settings = getattr(load_params(root / "params.yaml"), configuration)
    source = find_notebook(configuration, root)
    parameters = settings.model_dump()
    check_parameters(nbformat.read(source, as_version=4), parameters, source.name)
    if configuration in CONFIGURATIONS:
        _check_data(root / "data" / "processed" / f"{settings.dataset}.zarr")
    client = tracking.connect(root)
    notebook = str(source.relative_to(root))
    run = tracking.create_run(
        client, configuration, parameters, root, notebook=notebook, interactive=False
    )
    run_id = run.info.run_id
    report = root / "reports" / configuration
    attempt = root / "reports" / "failed" / configuration
    shutil.rmtree(attempt, ignore_errors=True)
    attempt.mkdir(parents=True)
    results = attempt / "results"
    os.environ.update(_kernel_environment(run_id, results, tracking.store_uri(root)))
    try:
        _execute(source, attempt / source.name, parameters, root)
        _write_report(attempt / source.name, results)
    except BaseException as error:
        status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        tracking.close_run(client, run_id, status, attempt)
        raise
    tracking.empty_folder(report)
    for path in results.iterdir():
        shutil.move(path, report / path.name)
    shutil.rmtree(attempt)
    tracking.close_run(client, run_id, "FINISHED", report)
    if configuration in CONFIGURATIONS:
        tracking.register_champion(client, run_id, configuration)
    return report


def _check_data(path: Path) -> None:
    if not path.is_dir():
        raise DataError(f"data/processed/{path.name} is missing; `dvc repro` makes it")


def _kernel_environment(run_id: str, results: Path, store: str) -> dict[str, str]:
    return {
        "MLFLOW_RUN_ID": run_id,
        "MLFLOW_TRACKING_URI": store,
        tracking.OUTPUT_VARIABLE: str(results),
        "PYTHONHASHSEED": "0",
    }


def _execute(source: Path, target: Path, parameters: dict[str, Any], root: Path) -> None:
    try:
        papermill.execute_notebook(
            source, target, parameters, kernel_name="python3", cwd=root, progress_bar=True
        )
    except papermill.PapermillExecutionError as error:
        problem = f"failed in code cell {error.exec_count}: {error.ename}: {error.evalue}"
    except DeadKernelError:
        problem = "stopped: its kernel died, perhaps for want of memory"
    else:
        return
    kept = target.relative_to(root)
    raise ExperimentError(f"{source.name} {problem}\nThe notebook up to there is {kept}")


def _write_report(executed: Path, report: Path) -> None:
    notebook = canonical_notebook(nbformat.read(executed, as_version=4))
    nbformat.write(notebook, report / "report.ipynb")
    heading = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = heading.splitlines()[0].lstrip("# ")
    (report / "report.html").write_text(render_html(notebook, title=title))
