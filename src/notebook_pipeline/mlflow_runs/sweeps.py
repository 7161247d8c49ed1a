"""The runs of a sweep: a parent, and below it a child for each point and seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from mlflow.utils.time import get_current_time_millis

from notebook_pipeline.mlflow_runs.processes import process_tags
from notebook_pipeline.mlflow_runs.runs import KEY, create_run
from notebook_pipeline.mlflow_runs.store import Client, search_runs
from notebook_pipeline.parameters.sweeps import point_in_words

POINT = "sweep.point"
"""Tag of a child: which point with which seed it is. A parent has one of each."""


class SweepRun:
    """The run of a sweep in one state, found again if the state has one.

    Attributes:
        run_id: Of the parent.
    """

    def __init__(
        self, client: Client, name: str, settings: Mapping[str, Any], root: Path,
        *, stage: str, key: str,
    ) -> None:  # fmt: skip
        """Find the parent by the key of the stage's state, or make it; it is RUNNING then.

        Args:
            client: Of the store.
            name: The sweep's.
            settings: What all points share.
            root: The repository.
            stage: The one that runs it.
            key: Of the state of the stage.
        """
        self._client = client
        self._tags = {"configuration": name, "interactive": "false", "stage": stage}
        self._process = process_tags()
        found = search_runs(client, f"tags.`{KEY}` = '{key}'")
        if found:
            self.run_id: str = found[0].info.run_id
            client.update_run(self.run_id, status="RUNNING")
            for tag, text in self._process.items():
                client.set_tag(self.run_id, tag, text)
        else:
            run = create_run(
                client, name, settings, root, stage=stage, key=key, source="params.yaml"
            )
            self.run_id = run.info.run_id
        self._known = set(self._finished_points())

    def _finished_points(self) -> Iterator[str]:
        """Yield the points that have a run; those that an interruption has left half made go."""
        below = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.run_id}'"
        for run in search_runs(self._client, below):
            if run.info.status == "FINISHED":
                yield run.data.tags[POINT]
            else:
                self._client.delete_run(run.info.run_id)

    def log(self, given: Mapping[str, Any], seed: int, metrics: Mapping[str, float | None]) -> None:
        """Make the finished run of a point with one seed, unless there is one."""
        point = _digest(given, seed)
        if point in self._known:
            return
        now = get_current_time_millis()
        tags = {**self._tags, **self._process, MLFLOW_PARENT_RUN_ID: self.run_id, POINT: point}
        values = {**given, "seed": seed}
        run_id = self._client.create_run(
            self._client.experiment_id, tags=tags, run_name=point_in_words(values)
        ).info.run_id
        self._client.log_batch(
            run_id,
            metrics=[
                Metric(name, float("nan") if value is None else value, now, 0)
                for name, value in metrics.items()
            ],
            params=[Param(name, str(value)) for name, value in values.items()],
        )
        self._client.set_terminated(run_id, "FINISHED")
        self._known.add(point)

    def add(self, path: Path) -> None:
        """Log a file to the parent."""
        self._client.log_artifact(self.run_id, str(path))

    def end(self, status: str) -> None:
        """End the parent."""
        self._client.set_terminated(self.run_id, status)


def _digest(given: Mapping[str, Any], seed: int) -> str:
    whole = json.dumps([dict(given), seed], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()
