"""Run a sweep: compute the points that are not kept yet, and write the table of all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notebook_pipeline import mlflow_runs
from notebook_pipeline.cluster.client import cluster_client
from notebook_pipeline.cluster.settings import ClusterSettings
from notebook_pipeline.errors import ConfigError, SweepError
from notebook_pipeline.parameters.names import near_or_all
from notebook_pipeline.parameters.points import CheckedSweep, Point, check_sweeps
from notebook_pipeline.parameters.sweeps import point_in_words
from notebook_pipeline.project import Swept, project_of
from notebook_pipeline.repository import check_loaded_code
from notebook_pipeline.repro.parallel import default_jobs
from notebook_pipeline.stages.outputs import FAILED, replace_text
from notebook_pipeline.stages.points import Row, Table, write_table
from notebook_pipeline.stages.provenance import write_run
from notebook_pipeline.stages.states import StageInputs, changes, current_inputs, sweep_stages
from notebook_pipeline.sweeps.kept import KeptPoints
from notebook_pipeline.sweeps.point import Outcome, Task
from notebook_pipeline.sweeps.progress import PointsLine
from notebook_pipeline.sweeps.workers import outcomes
from notebook_pipeline.system.lock import one_at_a_time
from notebook_pipeline.system.machine import machine_class
from notebook_pipeline.system.signals import ended_by_signals

POINTS = "src/notebook_pipeline/parameters/sweeps.py"
"""What decides which points there are, and nothing about what one of them gives."""

TOLD = 3
"""Points that failed which a message names."""

Metrics = Mapping[str, float | None]


@dataclass
class _Work:
    """A sweep that is being run.

    Attributes:
        name: The sweep's.
        sweep: Its points.
        swept: What they compute.
        root: The repository.
        kept: Where points are kept.
        run: In MLflow.
        found: The numbers so far, by the place of the point and the seed.
        failed: What went wrong, by the same.
    """

    name: str
    sweep: CheckedSweep
    swept: Swept
    root: Path
    kept: KeptPoints
    run: mlflow_runs.SweepRun
    found: dict[tuple[int, int], Metrics] = field(default_factory=dict)
    failed: dict[tuple[int, int], Outcome] = field(default_factory=dict)

    @property
    def all(self) -> list[tuple[int, int]]:
        """Every point with every seed, in order."""
        seeds = self.sweep.settings.seeds
        return [(at, seed) for at in range(len(self.sweep.points)) for seed in seeds]

    def point(self, at: int) -> Point:
        """Return a point by its place."""
        return self.sweep.points[at]

    def take_kept(self) -> None:
        """Take what earlier sweeps, or an interrupted one, have computed."""
        for at, seed in self.all:
            if (metrics := self.kept.read(self.point(at).parameters, seed)) is not None:
                self.take(at, seed, metrics)

    def take(self, at: int, seed: int, metrics: Metrics) -> None:
        """Note the numbers of a point, and log them."""
        self.found[at, seed] = metrics
        self.run.log(self.point(at).given, seed, metrics)

    def compute(self, settings: ClusterSettings | None, jobs: int, line: PointsLine) -> None:
        """Compute the points that are missing; those that are done are kept at once."""
        missing = [one for one in self.all if one not in self.found]
        if not missing:
            return
        tasks = {one: self._task(*one, is_remote=_is_remote(settings)) for one in missing}
        jobs = min(jobs, len(tasks))
        with cluster_client(settings, jobs) as client:
            for (at, seed), outcome in outcomes(client, tasks, jobs):
                outcome = _checked(outcome, self.swept)
                if outcome.error:
                    self.failed[at, seed] = outcome
                else:
                    self.kept.write(self.point(at).parameters, seed, outcome.metrics)
                    self.take(at, seed, outcome.metrics)
                line.show(len(self.found), len(self.failed))

    def drop(self, places: Iterable[tuple[int, int]]) -> None:
        """Keep some points no longer: nobody knows from which files they were computed."""
        for at, seed in places:
            self.kept.drop(self.point(at).parameters, seed)

    def _task(self, at: int, seed: int, *, is_remote: bool) -> Task:
        parameters, root = dict(self.point(at).parameters), str(self.root)
        return Task(self.swept.function, parameters, seed, root, is_remote)


def run_sweep(
    name: str, root: Path, jobs: int | None, cluster: ClusterSettings | None = None
) -> Path:
    """Run the points of a sweep that are not kept yet, and write its table.

    Args:
        name: The sweep's, a key of ``sweeps`` in params.yaml.
        root: The repository.
        jobs: Points at a time; None for as many as the cluster's settings or this machine allow.
        cluster: Where they run; None for processes of this machine.

    Returns:
        The table.

    Raises:
        ConfigError: if a parameter is wrong, or an input is missing; nothing was started.
        StoreError: if the store of runs can't be used; nothing was started.
        SweepError: if points failed. All others were run and are kept.
        ReproError: if the workers are lost, or another run of this sweep is under way.
    """
    sweep, stage, state = _check_all(name, root)
    swept = project_of(root).swept[sweep.settings.of]
    jobs = jobs or (cluster and cluster.jobs) or default_jobs(project_of(root).memory)
    with one_at_a_time(f"sweep-{name}", root), ended_by_signals():
        client = mlflow_runs.connect(root)
        mlflow_runs.close_dead_runs(client)
        kept = KeptPoints(root, _made_from(swept, state, root, cluster))
        shared = _shared(sweep)
        run = mlflow_runs.SweepRun(client, name, shared, root, stage=stage, key=state.key)
        work = _Work(name, sweep, swept, root, kept, run)
        ended = "FAILED"
        try:
            path = _finish(work, state, stage, cluster, jobs)
            ended = "FINISHED"
            return path
        except KeyboardInterrupt:
            ended = "KILLED"
            raise
        finally:
            run.end(ended)


def _check_all(name: str, root: Path) -> tuple[CheckedSweep, str, StageInputs]:
    """Refuse what can't succeed before anything starts; return sweep, stage, and its inputs."""
    sweeps, stages = check_sweeps(root), sweep_stages(root)
    for known, where in ((sweeps, "params.yaml"), (stages, "dvc.yaml")):
        if name not in known:
            raise ConfigError(f"{where} has no sweep {name!r}; {near_or_all(name, known)}")
    stage = stages[name]
    state = current_inputs(root, stage)[stage]
    if missing := [path for path in state.dependencies if not (root / path).exists()]:
        raise ConfigError(f"{missing[0]} is missing; `dvc repro {stage}` makes it")
    return sweeps[name], stage, state


def _made_from(
    swept: Swept, state: StageInputs, root: Path, cluster: ClusterSettings | None
) -> dict[str, Any]:
    """Return all that decides what a point gives beside its parameters and its seed.

    What a cluster's machines are is not known here: their points are kept apart.
    """
    deciding = {path: md5 for path, md5 in state.dependencies.items() if path != POINTS}
    machine = machine_class(project_of(root).packages)
    if cluster and _is_remote(cluster):
        machine = {"cluster": cluster.kind}
    return {"function": swept.function, "dependencies": deciding, "machine": machine}


def _is_remote(cluster: ClusterSettings | None) -> bool:
    return cluster is not None and cluster.kind != "local"


def _finish(
    work: _Work, state: StageInputs, stage: str, cluster: ClusterSettings | None, jobs: int
) -> Path:
    """Run what is missing and write the table, if no point failed and nothing changed."""
    began = time.monotonic()
    with PointsLine(len(work.all)) as line:
        work.take_kept()
        line.show_kept(len(work.found))
        kept = set(work.found)
        try:
            work.compute(cluster, jobs, line)
        finally:
            now = current_inputs(work.root, stage)[stage]
            if now.dependencies != state.dependencies:
                work.drop(work.found.keys() - kept)
    if now != state:
        raise SweepError(
            f"changed while {stage} ran: {', '.join(changes(state, now))}. What was computed "
            "meanwhile belongs to neither state and is not kept; run it again"
        )
    if work.failed:
        raise _failure(work)
    check_loaded_code(work.root)
    path = write_table(_table(work), work.root / "reports" / work.name)
    work.run.add(path)
    shutil.rmtree(work.root / FAILED / work.name, ignore_errors=True)
    store = mlflow_runs.without_password(mlflow_runs.store_uri(work.root))
    seconds = round(time.monotonic() - began, 1)
    record = {"key": state.key, "run": work.run.run_id, "store": store, "seconds": seconds}
    write_run(path.parent, {**record, "points": len(work.all), "reused": len(kept)})
    return path


def _checked(outcome: Outcome, swept: Swept) -> Outcome:
    """Return an outcome, as an error where it lacks what a page needs."""
    needed = (swept.chosen_by, swept.score, *([swept.size] if swept.size else []))
    lacking = [metric.name for metric in needed if metric.name not in outcome.metrics]
    if outcome.error or not lacking:
        return outcome
    has = ", ".join(outcome.metrics) or "nothing"
    return Outcome({}, f"{swept.function} returned {has}; it must return {', '.join(lacking)}")


def _failure(work: _Work) -> SweepError:
    """Write down what went wrong, and return what is to be said of it."""
    places = [place for place in work.all if place in work.failed]
    log = work.root / FAILED / work.name / "log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    named = {
        (at, seed): point_in_words({**work.point(at).given, "seed": seed}) for at, seed in places
    }
    stories = [
        f"{named[one]}: {work.failed[one].error}\n{work.failed[one].story}" for one in places
    ]
    replace_text(log, "\n".join(stories))
    lines = [f"  {named[one]}: {work.failed[one].error}" for one in places[:TOLD]]
    if len(places) > TOLD:
        lines.append(f"  and {len(places) - TOLD} more")
    return SweepError(
        f"{len(places)} of {len(work.all)} points of {work.name} failed; the others are kept and "
        "won't run again:\n" + "\n".join(lines) + f"\nSee {log.relative_to(work.root)}"
    )


def _table(work: _Work) -> Table:
    settings, points = work.sweep.settings, work.sweep.points
    names = list(dict.fromkeys(name for one in work.all for name in work.found[one]))
    rows = [
        Row(
            dict(point.given),
            {name: [work.found[at, seed].get(name) for seed in settings.seeds] for name in names},
        )
        for at, point in enumerate(points)
    ]
    draws = settings.draws.parameters if settings.draws else {}
    return Table(
        name=work.name,
        question=settings.question,
        of=settings.of,
        seeds=settings.seeds,
        departs=dict(work.sweep.departs),
        logarithmic=[name for name, draw in draws.items() if draw.log],
        combined=settings.grid is not None,
        shared=_shared(work.sweep),
        rows=rows,
    )


def _shared(sweep: CheckedSweep) -> dict[str, Any]:
    """Return the parameters that all points have alike."""
    first = sweep.points[0].parameters
    return {
        name: value
        for name, value in first.items()
        if all(point.parameters[name] == value for point in sweep.points)
    }
