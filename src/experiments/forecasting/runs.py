"""Additional MLflow records of a configuration's run."""

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
