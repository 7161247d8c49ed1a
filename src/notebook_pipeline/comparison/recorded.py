"""The report of a run in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_pipeline.comparison.folders import REPORT
from notebook_pipeline.comparison.sides import ENOUGH, SHORT, Report, Side
from notebook_pipeline.errors import ConfigError, OutputsError
from notebook_pipeline.stages.store_address import file_of, store_uri

if TYPE_CHECKING:
    from mlflow.entities import Run

    from notebook_pipeline.mlflow_runs import Client

DIGITS = 8
"""Digits of a run's id that tell it from another of its name."""


def run_side(text: str, root: Path, kept: Path) -> Side | None:
    """Return the report of the run of this id or name; None if there is no such run.

    Args:
        text: The id of a run, its first digits, or its name.
        root: The repository, whose store is asked.
        kept: Folder for artifacts.

    Raises:
        ConfigError: if several runs are meant.
        OutputsError: if the run has left no report.
        StoreError: if the store can't be used.
    """
    found = _all_runs(root)
    if found is None:
        return None
    client, runs = found
    run = meant_run(text, runs)
    return None if run is None else _side(client, run, runs, kept)


def meant_run(text: str, runs: Sequence[Run]) -> Run | None:
    """Return the run of this name, or whose id begins so; None if there is none.

    Raises:
        ConfigError: if there are several, with their ids.
    """
    named = [run for run in runs if text == run.info.run_name]
    begin = [run for run in runs if len(text) >= ENOUGH and run.info.run_id.startswith(text)]
    meant = named or begin
    if len(meant) > 1:
        ids = ", ".join(sorted(run.info.run_id for run in meant))
        raise ConfigError(
            f"{text!r} stands for {len(meant)} MLflow runs; give the id of one: {ids}"
        )
    return meant[0] if meant else None


def run_names(root: Path) -> list[str]:
    """Return the names of all runs of the project."""
    _, runs = _all_runs(root) or (None, [])
    return sorted({run.info.run_name for run in runs})


def _all_runs(root: Path) -> tuple[Client, list[Run]] | None:
    """Return the runs of the store; None where there is no store, which asking must not make."""
    file = file_of(store_uri(root))
    if file is not None and not file.is_file():
        return None
    from notebook_pipeline.mlflow_runs import connect, search_runs  # takes seconds

    client = connect(root)
    return client, search_runs(client)


def _side(client: Client, run: Run, runs: list[Run], kept: Path) -> Side:
    from mlflow.exceptions import MlflowException

    run_id, name = run.info.run_id, run.info.run_name
    digests = {file.path: "" for file in client.list_artifacts(run_id)}
    if REPORT not in digests:
        raise OutputsError(f"the MLflow run {name} ({run_id}) is {run.info.status}: no {REPORT}")
    folder = kept / run_id
    folder.mkdir(exist_ok=True)

    def bring(output: str) -> None:
        if (folder / output).exists():
            return
        try:
            client.download_artifacts(run_id, output, str(folder))
        except (OSError, MlflowException) as error:
            raise OutputsError(f"{output} of the MLflow run {name}: {error}") from None

    tags = run.data.tags
    notebook = tags.get("configuration", name)
    is_alone = sum(other.info.run_name == name for other in runs) == 1
    return Side(
        label=name if is_alone else f"{name} ({run_id[:DIGITS]})",
        kind="MLflow run",
        commit=tags.get("mlflow.source.git.commit", "")[:SHORT],
        reports={notebook: Report(notebook, digests, folder, bring)},
        identity=run_id,
        is_single=True,
    )
