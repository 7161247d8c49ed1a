"""A user's own CSV or Parquet file as processed data."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from lstm_states.datasets.parts import split_by_time
from lstm_states.errors import DataError
from lstm_states.schema import check_increasing, check_processed

READERS = {".csv": pd.read_csv, ".gz": pd.read_csv, ".parquet": pd.read_parquet}


def make_table(
    path: Path,
    *,
    time: str,
    features: list[str],
    target: str,
    series: str | None,
    horizon: int,
    train_fraction: float,
    validation_fraction: float,
) -> xr.Dataset:
    """Read one table; without ``series`` it is one long series, with it many sequences.

    Args:
        path: A ``.csv``, ``.csv.gz`` or ``.parquet`` file, one row a timestep, rows in time order.
        time: Column of times, numbers or dates, strictly increasing (in each series).
        features: Numeric columns that the model sees.
        target: Numeric column to predict; in a sequence the value of the last row counts.
        series: Column that says which sequence a row belongs to; its rows stand together.
        horizon: Rows that ``target`` looks ahead; so many rows are kept between parts.
        train_fraction: Share of the rows (or sequences, in order of appearance) for training.
        validation_fraction: Share of those after them; the rest is for the test.

    Returns:
        Layout ``series`` or ``sequences``, float32.

    Raises:
        DataError: naming the column or row that can't be used.
    """
    table = _read(path, [time, *features, target, *([series] if series else [])])
    for name in (*features, target):
        _check_numbers(table[name])
    attrs = {"title": path.name, "source": path.name, "horizon": horizon, "description": ""}
    if series is None:
        data = _as_series(table, time, features, target)
        if horizon:
            # What is known of the target at a row is the value that looked ahead to that row.
            data["persistence"] = data["targets"].shift(time=horizon)
            data = data.isel(time=slice(horizon, None))
    else:
        data = _as_sequences(table, time, features, target, series)
    size = data.sizes["time" if series is None else "sample"]
    part = split_by_time(size, train_fraction, validation_fraction)
    data["part"] = part if series is None else part.rename(time="sample")
    layout = "series" if series is None else "sequences"
    units: dict[str, tuple[str, list]] = {"feature_unit": ("feature", ["as given"] * len(features))}
    units["target_unit"] = ("target", ["as given"])
    units["drifts"] = ("feature", [True] * len(features))
    return check_processed(data.assign_coords(units).assign_attrs(attrs, layout=layout))


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    reader = READERS.get(path.suffix)
    if reader is None:
        raise DataError(f"{path} is no table that can be read; allowed are .csv, .csv.gz, .parquet")
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        table = reader(path)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} can't be read: {error}") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise DataError(f"{path}: column {missing[0]!r} is missing; there are {list(table)}")
    if table.empty:
        raise DataError(f"{path} holds no rows")
    return table


def _check_numbers(column: pd.Series) -> None:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(float)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        value = column.iloc[bad[0]]
        raise DataError(
            f"column {column.name!r} is {value!r} at row {bad[0]}; it must be a finite number"
        )


def _times(column: pd.Series) -> np.ndarray:
    """Return numbers as they are and anything else as dates, strictly increasing."""
    if pd.api.types.is_numeric_dtype(column):
        _check_numbers(column)
    else:
        dates = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
        if dates.isna().any():
            row = int(dates.isna().to_numpy().argmax())
            raise DataError(f"column {column.name!r} is {column.iloc[row]!r} at row {row}, no time")
        column = dates.dt.tz_localize(None).astype("datetime64[ns]")
    try:
        check_increasing(column.to_numpy())
    except DataError as error:
        raise DataError(f"column {column.name!r}: {error}") from None
    return column.to_numpy()


def _as_series(table: pd.DataFrame, time: str, features: list[str], target: str) -> xr.Dataset:
    return xr.Dataset(
        {
            "features": (("time", "feature"), table[features].to_numpy(np.float32)),
            "targets": (("time", "target"), table[[target]].to_numpy(np.float32)),
        },
        coords={"time": _times(table[time]), "feature": features, "target": [target]},
    )


def _as_sequences(
    table: pd.DataFrame, time: str, features: list[str], target: str, series: str
) -> xr.Dataset:
    if table[series].isna().any():
        row = int(table[series].isna().to_numpy().argmax())
        raise DataError(f"column {series!r} is {table[series].iloc[row]!r} at row {row}, no name")
    runs = (table[series] != table[series].shift()).cumsum()
    first = table.groupby(runs)[series].first()
    if first.duplicated().any():
        name = first[first.duplicated()].iloc[0]
        raise DataError(f"column {series!r}: the rows of {name!r} don't stand together")
    groups = [rows for _, rows in table.groupby(runs)]
    for rows in groups:
        try:
            _times(rows[time])
        except DataError as error:
            raise DataError(f"series {rows[series].iloc[0]!r}: {error}") from None
    length = np.array([len(rows) for rows in groups], np.int32)
    values = np.zeros((len(groups), length.max(), len(features)), np.float32)
    values[np.arange(length.max()) < length[:, None]] = table[features].to_numpy(np.float32)
    last = np.array([rows[target].iloc[-1] for rows in groups], np.float32)
    return xr.Dataset(
        {
            "features": (("sample", "time", "feature"), values),
            "targets": (("sample", "target"), last[:, None]),
            "length": ("sample", length),
        },
        coords={"feature": features, "target": [target], "series": ("sample", first.to_numpy(str))},
    )
