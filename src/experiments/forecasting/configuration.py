"""The documented configurations, ready to use: parameters, data and model in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import xarray as xr

from experiments.data.samples import load_sequences, load_windows
from experiments.data.schema import PARTS
from experiments.forecasting.settings import Experiment, Windowed
from experiments.shared.models import (
    build_intermediate_outputs,
    build_stacked,
    build_variable_length,
)
from experiments.shared.scores import TASKS
from experiments.shared.stack import make_models
from notebook_pipeline import load_parameters, project_root

BUILDERS: Mapping[str, Callable[..., keras.Model]] = {
    "stacked": build_stacked,
    "intermediate_outputs": build_intermediate_outputs,
    "variable_length": build_variable_length,
}


@dataclass(frozen=True)
class Configuration:
    """A documented configuration with its data.

    Attributes:
        name: Its section of params.yaml.
        settings: Its parameters.
        samples: What :func:`load_windows` or :func:`load_sequences` returned: ``x (sample, time,
            feature)``, ``y``, ``part (sample)``. The target is standardised where it is a number.
    """

    name: str
    settings: Experiment
    samples: xr.Dataset

    @property
    def task(self) -> str:
        """The kind of task: regression, binary or classes."""
        return TASKS[self.settings.loss]

    def build(self, *, for_training: bool = True) -> keras.Model:
        """Build the model with new weights, compiled.

        Args:
            for_training: Whether with the loss, step size and dropout of the settings; else with
                those that the builder has by itself.
        """
        names = ["units", "head_units", "head_activation"]
        if for_training:
            names += ["loss", "learning_rate", "dropout"]
        if self.name == "variable_length":
            names.append("mask_value")
        options = {name: getattr(self.settings, name) for name in names}
        features = self.samples.sizes["feature"]
        sizes = [self.settings.window] if isinstance(self.settings, Windowed) else []
        return BUILDERS[self.name](*sizes, features, **options)

    def part(self, name: str) -> xr.Dataset:
        """Return the samples of a part: train, validation or test."""
        return self.samples.isel(sample=self.samples["part"].values == PARTS.index(name))

    def spread(self, number: int) -> np.ndarray:
        """Return the places of samples that are spread evenly over the test part."""
        return np.linspace(0, self.part("test").sizes["sample"] - 1, number).astype(int)


def load_configuration(name: str, settings: Any = None) -> Configuration:
    """Return a configuration with its data.

    Args:
        name: ``stacked``, ``intermediate_outputs`` or ``variable_length``.
        settings: Its parameters; those of params.yaml if left out.

    Raises:
        FileNotFoundError: if the data has not been processed.
        DataError: if the data doesn't fit the parameters.
    """
    settings = settings or getattr(load_parameters(), name)
    path = project_root() / "data/processed" / f"{settings.dataset}.zarr"
    options: dict[str, Any] = {
        "target": settings.target,
        "scale_target": TASKS[settings.loss] == "regression",
    }
    if not isinstance(settings, Windowed):
        samples = load_sequences(path, mask_value=settings.mask_value, **options)
    else:
        samples = load_windows(
            path,
            window=settings.window,
            per_step=name == "intermediate_outputs",
            center=getattr(settings, "center", False),
            **options,
        )
    return Configuration(name, settings, samples)


def load_trained(
    configuration: Configuration, *, samples: int, seeds: Sequence[int]
) -> tuple[dict[str, keras.Model], np.ndarray]:
    """Return a configuration's stack as it was trained and with random weights, and its data.

    Args:
        configuration: With the values that params.yaml holds.
        samples: Windows or sequences, spread evenly over the test part.
        seeds: One stack with random weights for each.

    Returns:
        The stacks by name, as :func:`make_models` returns them, and ``x (sample, time, feature)``,
        all in double precision.

    Raises:
        FileNotFoundError: if the configuration has not been trained.
    """
    test = configuration.part("test")["x"].values
    x = test[configuration.spread(samples)].astype(np.float64)
    weights = project_root() / "reports" / configuration.name / "model/model.weights.h5"
    return make_models(lambda: configuration.build(for_training=False), weights, seeds), x
