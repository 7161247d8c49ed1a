"""The report of a run in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from notebook_pipeline.comparison.sides import ENOUGH, SHORT, Report, Side
from notebook_pipeline.errors import ConfigError, OutputsError
from notebook_pipeline.stages.outputs import REPORT
from notebook_pipeline.stages.store_address import file_of, store_uri

if TYPE_CHECKING:
    from mlflow.entities import Run

    from notebook_pipeline.mlflow_runs import Client

DIGITS = 8
"""Digits of a run's id that tell it from another of its name."""


@dataclass(frozen=True)
class Recorded:
    """What the store of runs holds.

    Attributes:
        client: Of the store; None where there is none.
        runs: All of the project.
    """

    client: Client | None
    runs: Sequence[Run]


def recorded_runs(root: Path) -> Recorded:
    """Return the runs of a repository's store, which asking doesn't make.

    Raises:
        StoreError: if the store can't be used.
    """
    file = file_of(store_uri(root))
    if file is not None and not file.is_file():
        return Recorded(None, ())
    from notebook_pipeline.mlflow_runs import connect, search_runs  # takes seconds

    client = connect(root)
    return Recorded(client, search_runs(client))


def run_side(text: str, recorded: Recorded, kept: Path) -> Side | None:
    """Return the report of the run of this id or name; None if there is no such run.

    Args:
        text: The id of a run, its first digits, or its name.
        recorded: The runs.
        kept: Folder for artifacts.

    Raises:
        ConfigError: if several runs are meant.
        OutputsError: if the run has left no report.
    """
    run = meant_run(text, recorded.runs)
    if run is None or recorded.client is None:
        return None
    return _side(recorded.client, run, recorded.runs, kept)


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


def _side(client: Client, run: Run, runs: Sequence[Run], kept: Path) -> Side:
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
