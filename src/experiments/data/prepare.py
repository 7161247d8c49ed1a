"""The work of the stages `prepare@...`: from a raw source to processed data."""

from __future__ import annotations

import shutil
from pathlib import Path

import xarray as xr

from experiments.data.catalogue import DataSet
from experiments.data.schema import check_processed


def prepare_dataset(name: str, settings: DataSet, root: Path) -> Path:
    """Obtain, check and process the data set ``name``.

    Args:
        name: Its key in params.yaml.
        settings: Its parameters there.
        root: The repository. ``data/raw/<name>`` and ``data/processed/<name>.zarr`` are replaced.

    Returns:
        The processed Zarr store.

    Raises:
        DataError: naming the file, column or row that can't be used, or what breaks the layout.
    """
    data = check_processed(settings.make(root / "data" / "raw" / name, root))
    return _write(data, root / "data" / "processed" / f"{name}.zarr")


def _write(data: xr.Dataset, path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Zarr's format 3 knows strings of variable length; NumPy's fixed ones aren't in it yet.
    texts = {str(n): v.astype(object) for n, v in data.coords.items() if v.dtype.kind == "U"}
    data.assign_coords(texts).to_zarr(path, mode="w-", consolidated=False)
    return path
