"""The results of a notebook: logged to the active run, and saved to a permanent folder."""

from __future__ import annotations

import atexit
import csv
import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from IPython import get_ipython

from notebook_pipeline.expectations import Expectations, hold_against
from notebook_pipeline.flat import flattened
from notebook_pipeline.mlflow_runs.runs import create_run
from notebook_pipeline.mlflow_runs.store import connect
from notebook_pipeline.parameters.cell import changed_parameters
from notebook_pipeline.parameters.file import load_parameters
from notebook_pipeline.repository import (
    check_loaded_code,
    check_own_code,
    find_notebook,
    project_root,
)
from notebook_pipeline.stages.outputs import EVIDENCE, METRICS, STEPS

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

OUTPUT_VARIABLE = "NOTEBOOK_PIPELINE_OUTPUT"
"""Environment variable by which the runner says where a notebook's outputs go."""

BACKUP_VARIABLE = "NOTEBOOK_PIPELINE_BACKUP"
"""Environment variable by which the runner says where a notebook keeps its training so far."""


def start_results(name: str, settings: Any) -> Results:
    """Attach to the pipeline's run of this notebook, or create an interactive one.

    Args:
        name: Name of the notebook.
        settings: The object from :func:`read_parameters`.

    Returns:
        The :class:`Results` of the run. Their folder is empty except for dot files, which belong to
        DVC. It is set by the runner, or ``reports/interactive/<name>``.

    Raises:
        ConfigError: if Python has imported code of another repository.
        StoreError: if the store of runs cannot be used.
    """
    root = project_root()
    check_own_code(root)
    client = connect(root)
    output = os.environ.get(OUTPUT_VARIABLE)
    directory = Path(output) if output else root / "reports" / "interactive" / name
    empty_folder(directory)
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if mlflow.active_run():  # the notebook is run a second time in one kernel
        mlflow.end_run("KILLED")
    if not run_id:
        run_id = create_run(client, name, settings.model_dump(), root).info.run_id
    mlflow.start_run(run_id=run_id)
    # A kernel that ends before the notebook has: MLflow's own exit would say FINISHED.
    atexit.register(mlflow.end_run, "KILLED")
    changed = changed_parameters(find_notebook(name, root), settings.model_dump())
    return Results(directory, root, changed)


def empty_folder(folder: Path) -> None:
    """Create ``folder``, or remove its content except for hidden files such as .gitignore."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("[!.]*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _drop_steps(path: Path, names: Collection[str], first: int) -> None:
    """Remove the rows of some metrics from the step ``first`` on."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    kept = [row for row in rows if row[0] not in names or int(row[1]) < first]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *kept])


@dataclass(frozen=True)
class Results:
    """The results of a notebook: logged to the active MLflow run, and saved to a permanent folder.

    Attributes:
        directory: Folder for figures, tables, weights and traces.
        root: The repository.
        changed: Parameters of this run that differ from the notebook's own, with both values.
    """

    directory: Path
    root: Path
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    _last: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    """The last step of each metric."""

    @property
    def backup(self) -> Path | None:
        """Folder in which a training saves its progress for the next attempt, if any."""
        folder = os.environ.get(BACKUP_VARIABLE)
        return Path(folder) if folder else None

    def log_step(self, series: str, step: int, values: Mapping[str, float]) -> None:
        """Log the values of one step of a series, such as a training with its passes over the data.

        They go to MLflow as ``name/series``, and to :data:`STEPS`, from which `backfill` restores
        them if that is an output of the stage. A series that starts again at an earlier step, as
        where a cell runs twice, takes the place of what it logged from there on.
        """
        named = {f"{name}/{series}": float(value) for name, value in values.items()}
        mlflow.log_metrics(named, step=step)
        path = self.directory / STEPS
        path.parent.mkdir(exist_ok=True)
        if again := [name for name in named if step <= self._last.get(name, step - 1)]:
            _drop_steps(path, again, step)
        self._last.update(dict.fromkeys(named, step))
        with path.open("a", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            if not file.tell():
                rows.writerow(("name", "step", "value"))
            rows.writerows((name, step, value) for name, value in named.items())

    def log_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write ``metrics.json`` for ``dvc metrics``, and log the same numbers to MLflow.

        Args:
            metrics: Numbers by name, which may be nested; in MLflow they appear as ``test.r2``.
        """
        text = json.dumps(metrics, indent=2) + "\n"
        (self.directory / METRICS).write_text(text, encoding="utf-8")
        mlflow.log_metrics(dict(flattened(metrics)))

    def keep_figure(self, name: str, figure: Figure) -> Figure:
        """Save ``figure`` as ``figures/<name>.png`` and return it for display."""
        folder = self.directory / "figures"
        folder.mkdir(exist_ok=True)
        # Without Matplotlib's version in the file equal figures are equal bytes.
        metadata = {"Software": None, "Title": figure.axes[0].get_title() or name}
        figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight", metadata=metadata)
        return figure

    def keep_evidence(
        self, name: str, evidence: xr.Dataset, figure: Figure | None = None
    ) -> Figure | None:
        """Add measured values to ``evidence.json``, and save ``figure`` with them.

        Args:
            name: Name of the figure.
            evidence: Variables over ``model``, each with ``long_name`` and ``units``.
            figure: The figure, which is returned for display.
        """
        shell = get_ipython()
        kept = self.evidence()
        for measure, values in evidence.data_vars.items():
            kept[str(measure)] = {
                "values": values.to_series().to_dict(),
                "says": values.attrs["long_name"],
                "unit": values.attrs["units"],
                "figure": f"figures/{name}.png" if figure else "",
                "execution_count": shell.execution_count if shell else None,
            }
        text = json.dumps(kept, indent=2) + "\n"
        (self.directory / EVIDENCE).write_text(text, encoding="utf-8")
        return self.keep_figure(name, figure) if figure else None

    def evidence(self) -> dict[str, Any]:
        """Return the evidence so far: by measure ``values`` by model, ``says`` and ``unit``."""
        path = self.directory / EVIDENCE
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def require(self, bounds: Mapping[str, str], *, without: Collection[str] = ()) -> None:
        """Check measures against mathematical bounds; a value beyond its bound is a defect.

        Args:
            bounds: By measure, conditions such as "<= 1e-9", separated by ", ".
            without: Models to exclude, such as trained ones: the end of a training is an outcome,
                and its weights may enlarge the rounding itself.

        Raises:
            AssertionError: naming each measure that breaks its bound, its values and the bound.
            ValueError: if a measure was not kept.
        """
        drawn = {
            name: kept | {"values": {m: v for m, v in kept["values"].items() if m not in without}}
            for name, kept in self.evidence().items()
        }
        broken = [one for one in hold_against(bounds, drawn) if one.departs]
        told = "; ".join(f"{one.measure} is {one.found}, not {one.expected}" for one in broken)
        assert not broken, told

    def expect(
        self,
        expected: Mapping[str, str],
        *,
        optional: Collection[str] = (),
        uses: Collection[str] = (),
    ) -> Expectations:
        """Write ``expectations.json``: the committed run's findings, and where this run departs.

        No measured value makes it fail.

        Args:
            expected: By measure, conditions such as "> 0.3", separated by ", ".
            optional: Measures that may be missing with other data or parameters.
            uses: Notebooks whose results this one used; their parameters are compared as well.

        Raises:
            ValueError: if a measure was not kept and is not optional.
        """
        changed = {"": self.changed} | {f"{name}.": self._changed_in(name) for name in uses}
        differs = [
            f"{prefix}{name} is {value!r}, not {own!r}"
            for prefix, values in changed.items()
            for name, (value, own) in values.items()
        ]
        held = hold_against(expected, self.evidence(), optional=optional)
        expectations = Expectations(held, tuple(differs))
        expectations.write(self.directory)
        return expectations

    def _changed_in(self, name: str) -> dict[str, tuple[Any, Any]]:
        """Return what params.yaml changes of another notebook."""
        settings = getattr(load_parameters(self.root), name)
        return changed_parameters(find_notebook(name, self.root), settings.model_dump())

    def keep_table(self, name: str, table: pd.DataFrame) -> None:
        """Save ``table`` as ``plots/<name>.csv`` for ``dvc plots``."""
        folder = self.directory / "plots"
        folder.mkdir(exist_ok=True)
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")

    def log_varying(self, name: str, measured: xr.DataArray, figure: Figure) -> None:
        """Log values that vary from run to run, such as times, to MLflow only; reports stay equal.

        Args:
            name: The run receives ``varying/<name>.csv`` and ``varying/<name>.png``, and the
                medians as metrics ``<name>/<case>/<way>``.
            measured: ``(case, way, round)``, with ``long_name`` and ``units``.
            figure: A figure of the same values.
        """
        column = f"{measured.attrs['long_name']} ({measured.attrs['units']})"
        mlflow.log_text(measured.to_series().rename(column).to_csv(), f"varying/{name}.csv")
        mlflow.log_figure(figure, f"varying/{name}.png")
        medians = measured.median("round").to_series()
        values = {f"{name}/{case}/{way}": value for (case, way), value in medians.items()}
        mlflow.log_metrics(values)

    def finish(self) -> None:
        """Log the folder to MLflow and end the run.

        Raises:
            ConfigError: in the pipeline's run, if the code has changed since it was imported.
        """
        if os.environ.get(OUTPUT_VARIABLE):
            check_loaded_code(self.root)
        mlflow.log_artifacts(str(self.directory))
        # The pipeline's run has not finished before its report is written: the runner ends it.
        mlflow.end_run("RUNNING" if os.environ.get(OUTPUT_VARIABLE) else "FINISHED")
