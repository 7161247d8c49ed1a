"""What must fit between parameters and data before a configuration's notebook starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from experiments.data.samples import load_sequences, load_windows
from experiments.data.schema import PARTS, DataError
from experiments.forecasting.settings import Centered, Experiment, Masked, Windowed
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.file import load_parameters
from notebook_pipeline.parameters.names import near_or_all


def check_data(configuration: str, settings: Experiment, root: Path) -> None:
    """Refuse to start without processed data, and with parameters that don't fit it.

    Raises:
        DataError: if the data isn't there.
        ConfigError: naming the parameter that asks for what the data doesn't hold.
    """
    path = root / "data" / "processed" / f"{settings.dataset}.zarr"
    if not path.is_dir():
        raise DataError(f"data/processed/{path.name} is missing; `dvc repro` makes it")
    data = xr.open_zarr(path, chunks=None, consolidated=False)
    layout = "series" if isinstance(settings, Windowed) else "sequences"
    if data.attrs["layout"] != layout:
        raise ConfigError(
            f"{configuration}.dataset is {settings.dataset!r}, which holds {data.attrs['layout']}; "
            f"it needs a data set of {layout}"
        )
    targets = data["target"].values.tolist()
    if settings.target not in targets:
        hint = near_or_all(settings.target, targets)
        raise ConfigError(f"{configuration}.target is {settings.target!r}; {hint}")
    values = data["targets"].sel(target=settings.target).values
    _check_classes(configuration, settings, values)
    part = _load(settings, path)["part"].values
    test = int((part == PARTS.index("test")).sum())
    asked = {f"{configuration}.trace_samples": settings.trace_samples} | {
        f"{name}.samples": section.samples
        for name, section in load_parameters(root)
        if configuration in getattr(section, "stacks", ())
    }
    for key, samples in asked.items():
        if samples > test:
            raise ConfigError(
                f"{key} is {samples}; it may be {test} at most, what the test part of "
                f"{configuration} holds"
            )


def _check_classes(configuration: str, settings: Experiment, values: np.ndarray) -> None:
    classes = {"binary_crossentropy": 2, "sparse_categorical_crossentropy": settings.head_units}
    if settings.loss not in classes:
        return
    wrong = values[(values < 0) | (values != np.round(values))]
    if wrong.size:
        raise ConfigError(
            f"{configuration}.loss is {settings.loss!r}, for classes counted from 0; "
            f"{settings.target} holds {wrong[0]:g}"
        )
    found, most = int(values.max()) + 1, classes[settings.loss]
    if found > most:
        raise ConfigError(
            f"{configuration}.head_units is {settings.head_units}; {settings.target} has {found} "
            f"classes, and {settings.loss} allows {most}"
        )


def _load(settings: Experiment, path: Path) -> xr.Dataset:
    """Load samples as the notebook does, which refuses what leaves a part without any."""
    if isinstance(settings, Windowed):
        center = isinstance(settings, Centered) and settings.center
        return load_windows(path, target=settings.target, window=settings.window, center=center)
    mask_value = settings.mask_value if isinstance(settings, Masked) else 0.0
    return load_sequences(path, target=settings.target, mask_value=mask_value)
