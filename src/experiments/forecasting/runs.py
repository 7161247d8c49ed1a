"""Train a configuration within its run, and its additional MLflow records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import keras
import mlflow
import mlflow.tensorflow
import numpy as np
import xarray as xr
import yaml
from mlflow.data.numpy_dataset import from_numpy

from experiments.forecasting.configuration import Configuration
from experiments.forecasting.settings import Windowed
from experiments.forecasting.training import ProgressLine, fit_seeds
from notebook_pipeline.results import Results


def fit_configuration(
    configuration: Configuration, run: Results
) -> tuple[list[keras.Model], xr.Dataset]:
    """Train a configuration's stack with each seed; the run shows and logs every epoch.

    Args:
        configuration: What to train, with its settings.
        run: Receives the losses, and keeps the progress in case the training is interrupted.

    Returns:
        What :func:`fit_seeds` returns.
    """
    settings = configuration.settings
    return fit_seeds(
        configuration.build,
        configuration.samples,
        seeds=settings.seeds,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        patience=settings.patience,
        train_stride=settings.train_stride if isinstance(settings, Windowed) else 1,
        listeners=[
            lambda seed, epoch, losses: run.log_step(f"seed_{seed}", epoch, losses),
            ProgressLine(settings.seeds, settings.epochs),
        ],
        backup=run.backup,
    )


def log_data(samples: xr.Dataset, dataset: str, root: Path) -> None:
    """Log the data as the run's input, its digest being DVC's md5 of the processed store."""
    digest = _dvc_digest(root, f"data/processed/{dataset}.zarr")
    x, y = samples["x"].values, samples["y"].values
    data = from_numpy(x, targets=y, name=dataset, digest=digest)
    mlflow.log_input(data, context="training", tags={"source": samples.attrs["source"]})


def log_model(model: keras.Model, example: np.ndarray) -> None:
    """Log ``model`` with signature, input example and explicit requirements."""
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


@contextmanager
def _quiet_keras() -> Iterator[None]:
    """Keep the progress bar of the prediction that MLflow makes itself out of notebooks."""
    interactive = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if interactive:
            keras.config.enable_interactive_logging()


def _dvc_digest(root: Path, path: str) -> str | None:
    """Return DVC's md5 of an output, None where dvc.lock doesn't know it yet."""
    lock = root / "dvc.lock"
    stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"] if lock.is_file() else {}
    outs = (out for stage in stages.values() for out in stage.get("outs", ()))
    return next((out["md5"] for out in outs if out["path"] == path), None)
