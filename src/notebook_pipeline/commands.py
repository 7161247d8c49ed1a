"""The engine's commands: each reads what was typed, and calls the one module that does it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.page_commands import keep_page
from notebook_pipeline.project import project_of
from notebook_pipeline.repository import project_root

if TYPE_CHECKING:
    from notebook_pipeline.cluster.settings import ClusterSettings


class NotebookName(click.ParamType):
    """The name of a notebook that a stage of dvc.yaml runs."""

    name = "name"
    kind = "notebook"

    def known(self) -> Mapping[str, str]:
        """Return the stages by the notebook's name."""
        from notebook_pipeline.stages.states import notebook_stages

        return notebook_stages(project_root())

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name, or fail with the nearest name."""
        from notebook_pipeline.parameters.names import near_or_all

        known = self.known()
        if value not in known:
            self.fail(f"{value!r} is not a {self.kind}; {near_or_all(value, known)}", param, ctx)
        return value


class SweepName(NotebookName):
    """The name of a sweep that a stage of dvc.yaml runs."""

    kind = "sweep"

    def known(self) -> Mapping[str, str]:
        """Return the stages by the sweep's name."""
        from notebook_pipeline.stages.states import sweep_stages

        return sweep_stages(project_root())


def checked_root() -> Path:
    """Return the repository after checking params.yaml: our messages say more than DVC's."""
    from notebook_pipeline.parameters.points import check_sweeps

    root = project_root()
    check_sweeps(root)
    return root


def _workers(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the options ``--jobs`` and ``--cluster`` of a command that runs ``what``."""
    jobs = click.option(
        "--jobs", type=click.IntRange(min=1), metavar="N",
        help=f"{what} to run at a time. Default: as many as the machine allows.",
    )  # fmt: skip
    cluster = click.option(
        "--cluster", type=click.Path(path_type=Path), metavar="FILE",
        help="Run them on the cluster that a cluster.yaml describes, not on this machine.",
    )  # fmt: skip
    return lambda command: jobs(cluster(command))


def _settings(cluster: Path | None) -> ClusterSettings | None:
    if cluster is None:
        return None
    from notebook_pipeline.cluster.settings import load_settings

    return load_settings(cluster)


@click.command()
@click.argument("name", type=NotebookName())
def run(name: str) -> None:
    """Run a notebook and write its report."""
    from notebook_pipeline.run.runner import run_notebook

    root = project_root()
    beside = [root / "reports" / name / one.file for one in project_of(root).beside.get(name, ())]
    shown = [path for path in beside if path.is_file()]
    report = run_notebook(name, root)
    page = report / "report.html"
    written = page if page.is_file() else report / "report.ipynb"
    print(f"wrote {written.relative_to(root)}")
    for path in shown:
        print(f"removed {path.relative_to(root)}, of the run before; `dvc repro` makes it again")


@click.command()
def pages() -> None:
    """Render the reports of all notebooks, for example after a change of the style."""
    from notebook_pipeline.reports.page import write_report
    from notebook_pipeline.stages.states import notebook_stages

    root = project_root()
    project = project_of(root)
    for name in notebook_stages(root):
        folder = root / "reports" / name
        if (folder / "report.ipynb").is_file():
            print(f"wrote {write_report(folder, name, project).relative_to(root)}")


@click.command()
@_workers("Stages")
def repro(jobs: int | None, cluster: Path | None) -> None:
    """Run all stages that have changed, in parallel."""
    from notebook_pipeline.departures import departures_in_words, expectations_of_all
    from notebook_pipeline.repro.parallel import reproduce
    from notebook_pipeline.stages.provenance import is_recorded

    root = checked_root()
    plan = reproduce(root, jobs, _settings(cluster))
    if not plan.changed:
        print("everything is up to date")
    if not is_recorded(root, {**plan.notebooks, **plan.sweeps}):
        _record(root)
    for line in departures_in_words(expectations_of_all(root, plan.notebooks)):
        print(line)


@click.command()
@click.argument("name", type=SweepName())
@_workers("Points")
def sweep(name: str, jobs: int | None, cluster: Path | None) -> None:
    """Compute the points of a sweep that are not there yet, and write their table."""
    from notebook_pipeline.sweeps.sweep import run_sweep

    root = project_root()
    path = run_sweep(name, root, jobs, _settings(cluster))
    print(f"wrote {path.relative_to(root)}")


@click.command("sweep-page")
@click.argument("name", type=SweepName())
def sweep_page(name: str) -> None:
    """Write the page of a sweep from its table."""
    from notebook_pipeline.sweeps.page import write_page

    root = project_root()
    keep_page(write_page(name, root), root)


@click.command()
def backfill() -> None:
    """Create missing MLflow runs from the outputs."""
    _record(checked_root())


def _record(root: Path) -> None:
    from notebook_pipeline.mlflow_runs.backfill import record_missing_runs

    for done in record_missing_runs(root):
        print(done)


@click.command()
def status() -> int:
    """Compare dvc.lock, MLflow and the reports."""
    from notebook_pipeline.mlflow_runs.status import check_pipeline

    found = check_pipeline(checked_root())
    problems = [f"{stage.stage}: {told}" for stage in found.stages for told in stage.problems]
    for stage in found.stages:
        what = "see below" if stage.problems else stage.run or "matches dvc.lock"
        print(f"{stage.stage:34} {what}")
    counts = ", ".join(f"{count} {kind}" for kind, count in found.counts.items())
    print(f"runs in MLflow: {counts or 'none'}")
    problems += found.orphans
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def origin(file: Path) -> None:
    """Show which run made a figure or another output."""
    import yaml

    from notebook_pipeline.mlflow_runs.status import origin_of

    found = origin_of(file, project_root())
    print(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), end="")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", type=NotebookName())
@click.argument("jupyter", nargs=-1, type=click.UNPROCESSED)
def debug(name: str, jupyter: Sequence[str]) -> None:
    """Open the notebook of a failed run at the failed cell. Pass further options to JupyterLab."""
    from notebook_pipeline.run.debugging import debug_command

    command = debug_command(name, project_root())
    os.execvp(command[0], [*command, *jupyter])


@click.command()
@click.argument("names", nargs=-1, type=NotebookName(), metavar="[NAME]...")
def verify(names: Sequence[str]) -> int:
    """Run from scratch in a clone and compare every byte. Default: the whole pipeline."""
    from notebook_pipeline.verification.verify import verify as run_again

    result = run_again(checked_root(), names)
    for difference in result.found:
        print(difference)
    print(f"{len(result.outputs)} outputs were compared: {result.comparison}")
    print(f"{len(result.found)} differences" if result.found else "all of them agree")
    return 1 if result.found else 0


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--name", "names", multiple=True, metavar="NOTEBOOK",
    help="Compare this notebook alone; can be repeated.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="The page. Default: reports/comparison.html.",
)  # fmt: skip
def compare(runs: Sequence[str], names: Sequence[str], out: Path | None) -> int:
    """Set runs side by side on one page.

    A RUN is a folder with one report or several, an MLflow run (its id or name), a DVC experiment,
    or a revision of git. The first is what the others are compared with. One alone is compared with
    the work tree; without any, the last commit is.
    """
    from notebook_pipeline.comparison.page import write_comparison
    from notebook_pipeline.comparison.sides import opened_sides

    root = project_root()
    path = out or root / "reports" / "comparison.html"
    if out is None:
        path.parent.mkdir(exist_ok=True)
    elif not path.parent.is_dir():
        raise ConfigError(f"--out {path}: there is no folder {path.parent}")
    with opened_sides(root, runs, names) as sides:
        found = write_comparison(sides, path, project_of(root))
    print(f"wrote {path.relative_to(root) if path.is_relative_to(root) else path}")
    for line in found.lines:
        print(line)
    told = list(found.missing[:5])
    if more := len(found.missing) - len(told):
        told.append(f"and {more} more, which the page names")
    for line in told:
        print(f"{project_of(root).command}: {line}", file=sys.stderr)
    return 1 if found.missing else 0


COMMANDS = (
    run, sweep, sweep_page, pages, repro, backfill, status, origin, debug, verify, compare,
)  # fmt: skip
