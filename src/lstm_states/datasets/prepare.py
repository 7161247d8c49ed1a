"""The work of the stages `prepare@...`: from a raw source to processed data."""

from __future__ import annotations

import shutil
from pathlib import Path

import xarray as xr

from lstm_states.config import Dataset, JapaneseVowels, OrderBook, Table
from lstm_states.datasets.japanese_vowels import make_japanese_vowels
from lstm_states.datasets.order_book import make_order_book
from lstm_states.datasets.raw import fingerprint, obtain, write_record
from lstm_states.datasets.table import make_table


def prepare_dataset(name: str, settings: Dataset, root: Path) -> Path:
    """Obtain, check and process the data set ``name``.

    Args:
        name: Its key in params.yaml.
        settings: Its parameters there.
        root: The repository. ``data/raw/<name>`` and ``data/processed/<name>.zarr`` are made anew.

    Returns:
        The processed Zarr store.

    Raises:
        DataError: naming the file, column or row that can't be used.
    """
    raw = root / "data" / "raw" / name
    options = settings.model_dump(exclude={"maker", "source"})
    match settings:
        case OrderBook():
            data = make_order_book(obtain(settings.maker, root / settings.source, raw), **options)
        case JapaneseVowels():
            data = make_japanese_vowels(
                obtain(settings.maker, root / settings.source, raw), **options
            )
        case Table():
            path = root / settings.source
            data = make_table(path, **options)
            _record_table(path, raw)
    return _write(data, root / "data" / "processed" / f"{name}.zarr")


def _record_table(path: Path, raw: Path) -> None:
    """Note what a user's own file was; the file itself stays where it is."""
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir(parents=True)
    write_record(raw, {"files": {path.name: fingerprint(path)}})


def _write(data: xr.Dataset, path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Zarr's format 3 knows strings of variable length; NumPy's fixed ones aren't in it yet.
    texts = {str(n): v.astype(object) for n, v in data.coords.items() if v.dtype.kind == "U"}
    data.assign_coords(texts).to_zarr(path, mode="w-", consolidated=False)
    return path
