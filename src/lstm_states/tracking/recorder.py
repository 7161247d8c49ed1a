"""Where a notebook hands its results: to the active run, and to a folder that outlives it."""

from __future__ import annotations

import atexit
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import xarray as xr
import yaml
from IPython import get_ipython
from mlflow.data.numpy_dataset import from_numpy

from lstm_states.config import project_root
from lstm_states.tracking.runs import create_run
from lstm_states.tracking.store import connect

if TYPE_CHECKING:
    import keras
    import pandas as pd
    from matplotlib.figure import Figure

OUTPUT_VARIABLE = "LSTM_STATES_OUTPUT"
"""Environment variable by which the runner says where a notebook's outputs go."""

BACKUP_VARIABLE = "LSTM_STATES_BACKUP"
"""Environment variable by which the runner says where a notebook keeps its training so far."""


def start_recording(configuration: str, settings: Any, *, notebook: str) -> Recorder:
    """Attach to the run that the pipeline made for this notebook, or make an interactive one.

    Args:
        configuration: Such as ``stacked``.
        settings: What ``config.read_parameters`` returned.
        notebook: The notebook's path in the repository.

    Returns:
        A recorder whose folder is empty but for dot files, which are DVC's: the one the runner
        names, else ``reports/interactive/<configuration>``.
    """
    root = project_root()
    client = connect(root)
    output = os.environ.get(OUTPUT_VARIABLE)
    directory = Path(output) if output else root / "reports" / "interactive" / configuration
    empty_folder(directory)
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if mlflow.active_run():  # the notebook is run a second time in one kernel
        mlflow.end_run("KILLED")
    if not run_id:
        values = settings.model_dump()
        run = create_run(client, configuration, values, root, notebook=notebook)
        run_id = run.info.run_id
    mlflow.start_run(run_id=run_id)
    # A kernel that ends before the notebook has: MLflow's own exit would say FINISHED.
    atexit.register(mlflow.end_run, "KILLED")
    return Recorder(directory, root)


def empty_folder(folder: Path) -> None:
    """Make ``folder``, or remove what is in it but for hidden files such as .gitignore."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("[!.]*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@dataclass(frozen=True)
class Recorder:
    """Where a notebook hands its results: the active MLflow run, and a folder that outlives it.

    Attributes:
        directory: Figures, tables, weights and traces go here.
        root: The repository.
    """

    directory: Path
    root: Path

    @property
    def backup(self) -> Path | None:
        """Where training keeps what it has come to, for another attempt; interactively nowhere."""
        folder = os.environ.get(BACKUP_VARIABLE)
        return Path(folder) if folder else None

    def log_epoch(self, seed: int, epoch: int, losses: Mapping[str, float]) -> None:
        """Log the losses of one epoch, as ``loss/seed_0`` and so on."""
        values = {f"{name}/seed_{seed}": value for name, value in losses.items()}
        mlflow.log_metrics(values, step=epoch)

    def log_data(self, samples: xr.Dataset, dataset: str) -> None:
        """Log the data as the run's input, its digest being DVC's md5 of the processed store."""
        digest = _dvc_digest(self.root, f"data/processed/{dataset}.zarr")
        x, y = samples["x"].values, samples["y"].values
        data = from_numpy(x, targets=y, name=dataset, digest=digest)
        mlflow.log_input(data, context="training", tags={"source": samples.attrs["source"]})

    def log_results(self, results: xr.Dataset, *, kept_loss: float) -> None:
        """Write ``metrics.json`` and log the same numbers.

        Args:
            results: What ``measure_results`` returned.
            kept_loss: The typical model's loss on the validation part.
        """
        record = _result_record(results) | {"validation": {"kept_loss": kept_loss}}
        text = json.dumps(record, indent=2) + "\n"
        (self.directory / "metrics.json").write_text(text)
        mlflow.log_metrics(flattened(record))

    def log_model(self, model: keras.Model, example: np.ndarray) -> None:
        """Log ``model`` with signature, input example and explicit requirements."""
        import mlflow.tensorflow

        signature = mlflow.models.infer_signature(example, model.predict(example, verbose=0))
        requirements = [f"{name}=={version(name)}" for name in ("tensorflow", "keras", "numpy")]
        with _quiet_keras():
            mlflow.tensorflow.log_model(
                model,
                name="model",
                signature=signature,
                input_example=example,
                pip_requirements=requirements,
            )

    def keep_figure(self, name: str, figure: Figure) -> Figure:
        """Save ``figure`` as ``figures/<name>.png`` and return it to be shown."""
        folder = self.directory / "figures"
        folder.mkdir(exist_ok=True)
        # Without Matplotlib's version in the file equal figures are equal bytes.
        metadata = {"Software": None, "Title": figure.axes[0].get_title() or name}
        figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight", metadata=metadata)
        return figure

    def keep_evidence(
        self, name: str, evidence: xr.Dataset, figure: Figure | None = None
    ) -> Figure | None:
        """Add what a trial measured to ``evidence.json``, and keep ``figure`` beside it.

        Args:
            name: Of the figure.
            evidence: Variables over ``model``, each with ``long_name`` and ``units``.
            figure: It is returned, to be shown.
        """
        shell = get_ipython()
        path = self.directory / "evidence.json"
        kept = json.loads(path.read_text()) if path.is_file() else {}
        for measure, values in evidence.data_vars.items():
            kept[measure] = {
                "values": values.to_series().to_dict(),
                "says": values.attrs["long_name"],
                "unit": values.attrs["units"],
                "figure": f"figures/{name}.png" if figure else "",
                "execution_count": shell.execution_count if shell else None,
            }
        path.write_text(json.dumps(kept, indent=2) + "\n")
        return self.keep_figure(name, figure) if figure else None

    def keep_table(self, name: str, table: pd.DataFrame) -> None:
        """Save ``table`` as ``plots/<name>.csv``, which ``dvc plots`` draws."""
        folder = self.directory / "plots"
        folder.mkdir(exist_ok=True)
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")

    def log_varying(self, name: str, measured: xr.DataArray, figure: Figure) -> None:
        """Log what differs from run to run, such as times, to MLflow alone: reports stay equal.

        Args:
            name: The run then has ``varying/<name>.csv`` and ``varying/<name>.png``, and the
                medians as metrics ``<name>/<case>/<way>``.
            measured: ``(case, way, round)``, with ``long_name`` and ``units``.
            figure: Of the same.
        """
        column = f"{measured.attrs['long_name']} ({measured.attrs['units']})"
        mlflow.log_text(measured.to_series().rename(column).to_csv(), f"varying/{name}.csv")
        mlflow.log_figure(figure, f"varying/{name}.png")
        medians = measured.median("round").to_series()
        values = {f"{name}/{case}/{way}": value for (case, way), value in medians.items()}
        mlflow.log_metrics(values)

    def finish(self) -> None:
        """Hand the folder to MLflow and end the run."""
        mlflow.log_artifacts(str(self.directory))
        # The pipeline's run has not finished before its report is written: the runner ends it.
        mlflow.end_run("RUNNING" if os.environ.get(OUTPUT_VARIABLE) else "FINISHED")


@contextmanager
def _quiet_keras() -> Iterator[None]:
    """Keep the progress bar of the prediction that MLflow makes itself out of notebooks."""
    import keras

    interactive = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if interactive:
            keras.config.enable_interactive_logging()


def _result_record(results: xr.Dataset) -> dict[str, Any]:
    metric = results.attrs["metric"]
    seeds = results["seed_score"].values
    rows = {str(p): results.sel(predictor=p) for p in results["predictor"].values}
    model = rows.pop("model")
    return {
        "test": {
            metric: float(model["score"]),
            f"{metric}_lowest_seed": float(seeds.min()),
            f"{metric}_highest_seed": float(seeds.max()),
            f"{metric}_low": float(model["low"]),
            f"{metric}_high": float(model["high"]),
        },
        "baselines": {
            name.replace(" ", "_"): {
                metric: float(row["score"]),
                **{key: float(row[key]) for key in ("gain", "gain_low", "gain_high")},
            }
            for name, row in rows.items()
        },
    }


def flattened(record: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return nested numbers by joined names, such as ``test.r2``."""
    flat: dict[str, float] = {}
    for key, value in record.items():
        nested = isinstance(value, Mapping)
        flat |= flattened(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def _dvc_digest(root: Path, path: str) -> str | None:
    """Return DVC's md5 of an output, None where dvc.lock doesn't know it yet."""
    lock = root / "dvc.lock"
    stages = yaml.safe_load(lock.read_text())["stages"] if lock.is_file() else {}
    outs = (out for stage in stages.values() for out in stage.get("outs", ()))
    return next((out["md5"] for out in outs if out["path"] == path), None)
