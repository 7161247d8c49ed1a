"""The record of every run in MLflow: a SQLite store at the root, or the server that is set."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

# Before MLflow is imported: it would otherwise try to reach the network.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
import numpy as np
import xarray as xr
from IPython import get_ipython
from mlflow.data.numpy_dataset import from_numpy
from mlflow.entities import Run, RunData

from lstm_states.config import project_root, stage_of

if TYPE_CHECKING:
    import keras
    import pandas as pd
    from matplotlib.figure import Figure

EXPERIMENT = "lstm-states"
OUTPUT_VARIABLE = "LSTM_STATES_OUTPUT"
"""Environment variable by which the runner says where a notebook's outputs go."""

logging.getLogger("mlflow").setLevel(logging.WARNING)


def store_uri(root: Path) -> str:
    """Return ``MLFLOW_TRACKING_URI`` where it is set, else the address of ``mlflow.db``.

    A relative SQLite path counts from the repository, not from wherever a notebook runs.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    path = uri.removeprefix("sqlite:///")
    return uri if path == uri else f"sqlite:///{_home(root) / path}"


def connect(root: Path) -> mlflow.MlflowClient:
    """Return a client of the store that :func:`store_uri` names, its experiment made if need be."""
    uri = store_uri(root)
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    if client.get_experiment_by_name(EXPERIMENT) is None:
        # A server knows where its artifacts go; beside our own store they would follow the cwd.
        artifacts = (_home(root) / "mlartifacts").as_uri() if uri.startswith("sqlite") else None
        client.create_experiment(EXPERIMENT, artifact_location=artifacts)
    return client


def _home(root: Path) -> Path:
    """Return where the store is: ``root``, or the clone that a queued experiment belongs to."""
    # `dvc exp run --queue` works in <clone>/.dvc/tmp/exps/..., which is thrown away.
    text = root.as_posix()
    return Path(text.partition("/.dvc/tmp/exps/")[0])


def create_run(
    client: mlflow.MlflowClient,
    configuration: str,
    settings: Mapping[str, Any],
    root: Path,
    *,
    notebook: str,
    interactive: bool,
) -> Run:
    """Make a run with a readable name, the parameters, and tags that say what it was made from.

    Args:
        client: Of the store.
        configuration: Such as ``stacked``.
        settings: The notebook's parameters.
        root: The repository.
        notebook: The notebook's path in it.
        interactive: Whether a person runs it, not the pipeline.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    commit, dirty = _git_state(root)
    lock = root / "dvc.lock"
    units = "-".join(str(width) for width in settings.get("units", ()))
    about = " ".join(filter(None, (configuration, settings.get("dataset"), units)))
    name = f"{about} @{commit[:7] or 'no-commit'}"
    tags = {
        "configuration": configuration,
        "interactive": str(interactive).lower(),
        "stage": "" if interactive else stage_of(configuration),
        "git.dirty": str(dirty).lower(),
        "dvc.lock.sha256": _digest(lock.read_bytes()) if lock.is_file() else "",
        "params.sha256": _digest(json.dumps(dict(settings), sort_keys=True).encode()),
        "mlflow.source.name": notebook,
        "mlflow.source.type": "NOTEBOOK",
        "mlflow.source.git.commit": commit,
    }
    run = client.create_run(experiment.experiment_id, tags=tags, run_name=name)
    for key, value in settings.items():
        client.log_param(run.info.run_id, key, value)
    return run


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
        run = create_run(client, configuration, values, root, notebook=notebook, interactive=True)
        run_id = run.info.run_id
    mlflow.start_run(run_id=run_id)
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
        mlflow.log_metrics(_flattened(record))

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
        mlflow.end_run()


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


def active_run_id() -> str:
    """Return the id of the run that is active in this thread.

    Raises:
        RuntimeError: if there is none; MLflow itself would start a stray one.
    """
    run = mlflow.active_run()
    if run is None:
        raise RuntimeError("no MLflow run is active; start one: with mlflow.start_run(): ...")
    return run.info.run_id


def log_metrics(run_id: str, metrics: Mapping[str, float], *, step: int) -> None:
    """Log ``metrics`` to a run, all but those that are NaN: there was nothing to measure."""
    known = {name: value for name, value in metrics.items() if not np.isnan(value)}
    mlflow.log_metrics(known, step=step, run_id=run_id)


def close_run(client: mlflow.MlflowClient, run_id: str, status: str, *folders: Path) -> None:
    """Give a run its final ``status``, and what ``folders`` hold that it doesn't have yet."""
    present = {file.path for file in client.list_artifacts(run_id)}
    for path in (p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir())):
        if path.name not in present:
            client.log_artifact(run_id, str(path))
    client.set_terminated(run_id, status)


def register_champion(client: mlflow.MlflowClient, run_id: str, configuration: str) -> None:
    """Register the run's model; the alias ``champion`` goes to the one with the least kept loss.

    The validation loss decides, so the test part has no say in which model is preferred. A champion
    of other data, another target or another loss can't be compared and makes way.
    """
    name = f"{EXPERIMENT}-{configuration}"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    outputs = client.get_run(run_id).outputs
    if outputs is None or not outputs.model_outputs:
        raise LookupError(f"run {run_id} logged no model to register")
    model = client.get_logged_model(outputs.model_outputs[0].model_id)
    made = client.create_model_version(name, model.model_uri, run_id, model_id=model.model_id)
    aliases = client.get_registered_model(name).aliases
    if "champion" in aliases:
        champion = client.get_model_version_by_alias(name, "champion").run_id
        if champion and _is_better(client.get_run(champion).data, client.get_run(run_id).data):
            return
    client.set_registered_model_alias(name, "champion", made.version)


def _is_better(champion: RunData, challenger: RunData) -> bool:
    """Whether ``champion`` had the same task and a validation loss that is no higher."""
    same = all(
        champion.params[key] == challenger.params[key] for key in ("dataset", "target", "loss")
    )
    loss = "validation.kept_loss"
    return same and champion.metrics[loss] <= challenger.metrics[loss]


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


def _flattened(record: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for key, value in record.items():
        nested = isinstance(value, Mapping)
        flat |= _flattened(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def _dvc_digest(root: Path, path: str) -> str | None:
    """Return DVC's md5 of an output, None where dvc.lock doesn't know it yet."""
    lock = root / "dvc.lock"
    stages = yaml.safe_load(lock.read_text())["stages"] if lock.is_file() else {}
    outs = (out for stage in stages.values() for out in stage.get("outs", ()))
    return next((out["md5"] for out in outs if out["path"] == path), None)


def _git_state(root: Path) -> tuple[str, bool]:
    """Return the commit (empty without one) and whether a source file differs from it.

    What the pipeline itself rewrites, reports and dvc.lock, is no source.
    """
    sources = [".", ":(exclude)reports", ":(exclude)dvc.lock"]
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    return commit, bool(_git(root, "status", "--porcelain", "--", *sources))


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
