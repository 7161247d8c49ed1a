"""Check whether dvc.lock, MLflow and the reports agree, and find what belongs to none of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc.repo import Repo

from notebook_pipeline import mlflow_runs
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.project import project_of
from notebook_pipeline.stages.outputs import FAILED
from notebook_pipeline.stages.provenance import read_provenance, read_run
from notebook_pipeline.stages.states import (
    StageInputs,
    changes,
    current_inputs,
    locked_inputs,
    notebook_stages,
    notebooks_of,
    open_repo,
    output_problems,
    stages_of,
    sweeps_of,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

NO_REPORTS = {"failed", "interactive", "logs", "points"}
"""Folders in ``reports`` that no stage makes."""


@dataclass(frozen=True)
class StageStatus:
    """What is to be said of a stage.

    Attributes:
        stage: Its name in dvc.yaml.
        run: Name and id of its run in MLflow; empty if it has none, or runs no notebook.
        problems: What doesn't agree, each with what mends it; empty if all is well.
    """

    stage: str
    run: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """What is to be said of the pipeline.

    Attributes:
        stages: What is to be said of each stage.
        orphans: What remains of removed stages in dvc.lock and reports.
        counts: Number of runs in MLflow by kind: of the states in dvc.lock, by hand, failed, of
            removed stages (which is not a problem).
    """

    stages: tuple[StageStatus, ...]
    orphans: tuple[str, ...]
    counts: Mapping[str, int]


def check_pipeline(root: Path) -> Status:
    """Compare each stage's files, its entry in dvc.lock, its report and its run in MLflow.

    Runs whose process is gone are marked KILLED on the way.

    Raises:
        StoreError: if the store of runs can't be used.
    """
    client = mlflow_runs.connect(root)
    mlflow_runs.close_dead_runs(client)
    runs = mlflow_runs.search_runs(client)
    states, locked = current_inputs(root), locked_inputs(root)
    keys = {state.key for state in locked.values()}
    return Status(
        tuple(_stage_statuses(root, states, locked, client)),
        tuple(sorted(_orphans(root, states, locked))),
        Counter(_kind(run, keys, states) for run in runs),
    )


def _stage_statuses(
    root: Path,
    states: Mapping[str, StageInputs],
    locked: Mapping[str, StageInputs],
    client: mlflow_runs.Client,
) -> Iterator[StageStatus]:
    finished = mlflow_runs.finished_runs(client)
    with open_repo(root) as repo:
        names = {stage: name for name, stage in notebooks_of(repo, root).items()}
        sweeps = {stage: name for name, stage in sweeps_of(repo, root).items()}
        mend = f"`{project_of(root).command} backfill`"
        for stage, state in states.items():
            problems = list(_pipeline_problems(repo, stage, state, locked.get(stage)))
            mine = finished.get(locked[stage].key, []) if stage in locked else []
            if stage in names and stage in locked and not problems:
                folder = root / "reports" / names[stage]
                problems += _record_problems(folder, locked[stage], mine, mend)
                problems += _artifact_problems(client, folder, stage, mine, mend)
            if stage in sweeps and not problems and not mine:
                problems.append(f"MLflow has no run of it: {mend} creates it")
            name = names.get(stage) or sweeps.get(stage)
            if problems and name and (root / FAILED / name).is_dir():
                kept = f"{FAILED}/{name}"
                problems.append(f"its last attempt failed or is still running: see {kept}")
            run = f"{mine[0].info.run_name} ({mine[0].info.run_id})" if mine else ""
            yield StageStatus(stage, run, tuple(problems))


def _orphans(root: Path, states: Collection[str], locked: Iterable[str]) -> Iterator[str]:
    for name in locked:
        if name not in states:
            yield f"dvc.lock: {name} is not a stage"
    with open_repo(root) as repo:
        made = [Path(out.def_path).parts for stage in stages_of(repo) for out in stage.outs]
    known = NO_REPORTS | {parts[1] for parts in made if parts[0] == "reports"}
    for folder in (root / "reports").glob("*"):
        if folder.is_dir() and folder.name not in known:
            yield f"reports/{folder.name}: no stage makes it"


def origin_of(file: Path, root: Path) -> dict[str, Any]:
    """Return the record of the run that made a file, wherever the file has been copied to.

    Raises:
        ConfigError: if no report contains a file with the same bytes, or its run isn't known.
    """
    content, command = file.read_bytes(), project_of(root).command
    for name in notebook_stages(root):
        folder = root / "reports" / name
        for path in (p for p in sorted(folder.rglob("*")) if p.is_file()):
            if path.stat().st_size == len(content) and path.read_bytes() == content:
                record, made = read_run(folder), read_provenance(folder) or {}
                if record is None or record["key"] != made.get("key"):
                    raise ConfigError(
                        f"{path} is the same file; `{command} backfill` finds its run"
                    )
                return {"file": path.relative_to(root).as_posix(), **record, "made_from": made}
    raise ConfigError(f"{file}: no report contains a file with the same bytes")


def _kind(run: Run, keys: set[str], stages: Collection[str]) -> str:
    if mlflow_runs.POINT in run.data.tags:
        return "of points of sweeps"
    stage = run.data.tags.get("stage")
    if stage and stage not in stages:
        return f"of {stage}, which is no longer a stage"
    if run.data.tags.get("interactive") == "true":
        return "by hand"
    if run.info.status != "FINISHED":
        return run.info.status.lower()
    return (
        "of the states in dvc.lock" if run.data.tags.get(mlflow_runs.KEY) in keys else "of others"
    )


def _pipeline_problems(
    repo: Repo, stage: str, now: StageInputs, then: StageInputs | None
) -> Iterator[str]:
    if then is None:
        yield "has never run: `dvc repro` runs it"
        return
    if now != then:
        yield f"has changed since it ran: {', '.join(changes(then, now))}; `dvc repro` runs it"
    for problem in output_problems(repo, stage):
        yield f"{problem}: `dvc checkout` or `dvc repro` restores it"


def _record_problems(folder: Path, state: StageInputs, runs: list[Run], mend: str) -> Iterator[str]:
    made = read_provenance(folder) or {}
    if made.get("key") != state.key:
        yield f"{folder.name}/report.ipynb was made from another state; `dvc repro -f` fixes it"
    if not runs:
        yield f"MLflow has no run of it: {mend} creates it"
        return
    if len(runs) > 1:
        yield f"MLflow has {len(runs)} finished runs of it: {mend} keeps the last"
    told = (read_run(folder) or {}).get("run", "no run")
    if told != runs[0].info.run_id:
        yield f"{folder.name}/run.json names {told}: {mend} fixes it"


def _artifact_problems(
    client: mlflow_runs.Client, folder: Path, stage: str, runs: list[Run], mend: str
) -> Iterator[str]:
    for run in runs[:1]:
        if missing := mlflow_runs.missing_artifacts(client, run.info.run_id, folder):
            yield (f"MLflow's run lacks {', '.join(missing)}: {mend} restores them")
        if mlflow_runs.has_lost_model(client, run):
            yield (
                "the model that MLflow's run logged is gone: "
                f"`dvc repro --force --single-item {stage}` makes it again"
            )
