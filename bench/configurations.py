"""The real configurations of this repository: their data, models and batches."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from lstm_states import builders, config, datasets
from lstm_states.schema import PARTS


def load_configuration(name: str) -> tuple[keras.Model, np.ndarray, np.ndarray, dict[str, int]]:
    """Return a fresh compiled model of a configuration, its training part, and the batch size.

    Raises:
        FileNotFoundError: if `make repro` hasn't made the data yet.
    """
    settings = getattr(config.load_params(), name)
    path = config.project_root() / "data/processed" / f"{settings.dataset}.zarr"
    options: dict[str, Any] = {
        key: getattr(settings, key)
        for key in ("units", "head_units", "head_activation", "loss", "learning_rate", "dropout")
    }
    scale = settings.loss == "mse"
    if name == "variable_length":
        mask = {"mask_value": settings.mask_value}
        samples = datasets.load_sequences(path, target=settings.target, scale_target=scale, **mask)
        model = builders.build_variable_length(samples.sizes["feature"], **options, **mask)
    else:
        samples = datasets.load_windows(
            path,
            target=settings.target,
            window=settings.window,
            per_step=name == "intermediate_outputs",
            scale_target=scale,
            center=getattr(settings, "center", False),
        )
        build = getattr(builders, f"build_{name}")
        model = build(settings.window, samples.sizes["feature"], **options)
    train = np.flatnonzero(samples["part"].values == PARTS.index("train"))
    train = train[:: getattr(settings, "train_stride", 1)]
    y = (samples["y"] - samples["level"] if "level" in samples else samples["y"]).values
    return model, samples["x"].values[train], y[train], {"batch_size": settings.batch_size}
