"""What must be right before a notebook starts."""

from __future__ import annotations

import os
from pathlib import Path

import xarray as xr
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from lstm_states.config import ConfigError, near_or_all
from lstm_states.config.notebooks import Experiment, Windowed
from lstm_states.errors import DataError, ExperimentError
from lstm_states.pipeline.stages import open_repo

KERNEL = "python3"
"""Name of the kernel that runs notebooks."""


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
            f"it takes a data set of {layout}"
        )
    targets = data["target"].values.tolist()
    if settings.target not in targets:
        hint = near_or_all(settings.target, targets)
        raise ConfigError(f"{configuration}.target is {settings.target!r}; {hint}")
    if settings.loss == "sparse_categorical_crossentropy":
        classes = int(data["targets"].sel(target=settings.target).max()) + 1
        if settings.head_units < classes:
            raise ConfigError(
                f"{configuration}.head_units is {settings.head_units}; {settings.target} has "
                f"{classes} classes, and each needs a unit"
            )


def check_kernel() -> None:
    """Refuse to start where Jupyter has no kernel to run notebooks in."""
    try:
        KernelSpecManager().get_kernel_spec(KERNEL)
    except NoSuchKernel:
        raise ExperimentError(
            f"Jupyter has no kernel {KERNEL!r}; `python -m ipykernel install --sys-prefix` or "
            "`make env` installs it"
        ) from None


def check_cache(root: Path) -> None:
    """Refuse to start what DVC couldn't keep in the end."""
    with open_repo(root) as repo:
        cache = Path(repo.cache.local.path)
    folder = next(path for path in (cache, *cache.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        raise ExperimentError(
            f"DVC's cache {cache} can't be written: make it writable, or set another one with "
            "`dvc cache dir`"
        )
