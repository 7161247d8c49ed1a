"""A user's own CSV or Parquet file as processed data; each invalid value is named with its line.

Reader and kind are one module, since the stage `prepare` depends on the module of its kind alone:
in another one, a change of the reader would rerun every data set, or none.
"""

from __future__ import annotations

import gzip
import shutil
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import Field, model_validator

from experiments.data.catalogue import SplitByTime, register
from experiments.data.parts import split_by_time
from experiments.data.raw import fingerprint, write_record
from experiments.data.schema import DataError
from notebook_pipeline.parameters.strict import Distinct

REACH = 10
"""Rows beyond the horizon in which a feature is looked for in the target."""

# No column becomes an index: lines of more values than names would else move all of them by one.
CSV: dict[str, Any] = {"index_col": False, "skipinitialspace": True, "encoding": "utf-8"}

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What other programs put between columns, and what it is called."""

OFFSET = r":\d\d(?:\.\d+)?\s*(?:Z|[+-]\d\d(?::?\d\d)?)$"
"""The end of a time of day that says its offset from UTC."""


@register
class Table(SplitByTime):
    """A user's CSV or Parquet file; with ``series``, each value of that column is one sequence."""

    maker: Literal["table"]
    source: str
    time: str
    features: Distinct[str]
    target: str
    series: str | None = None
    horizon: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _features_hold_no_target(self) -> Table:
        if self.target in self.features:
            raise ValueError(
                f"features holds {self.target!r}, the target, which is unknown at prediction "
                "time; remove it"
            )
        return self

    def make(self, raw: Path, root: Path) -> xr.Dataset:
        """Read the file, which stays in its place, and record its digest."""
        path = root / self.source
        data = make_table(path, **self.model_dump(exclude={"maker", "source"}))
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir(parents=True)
        write_record(raw, {"files": {path.name: fingerprint(path)}})
        return data


def broken_limits(params: Any) -> Iterator[str]:
    """Yield the tables with a feature that looks ahead as the target of another table."""
    tables = {name: d for name, d in params.datasets.items() if isinstance(d, Table)}
    for name, one in tables.items():
        for other, two in tables.items():
            if two.horizon and two.source == one.source and two.target in one.features:
                yield (
                    f"datasets.{name}.features holds {two.target!r}, which by datasets.{other} "
                    f"looks {two.horizon} rows ahead: it isn't known by then; remove it"
                )


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
        path: A ``.csv``, ``.csv.gz`` or ``.parquet`` file, one row per timestep, in temporal order.
        time: Column of times, numbers or dates, strictly increasing (in each series).
        features: Numeric columns that the model sees.
        target: Numeric column to predict; for a sequence, the value of its last row.
        series: Column that identifies the sequence of a row; the rows of a sequence are adjacent.
        horizon: Rows that ``target`` looks ahead, and the number of rows between parts.
        train_fraction: Share of the rows (or sequences, in order of appearance) for training.
        validation_fraction: Share of the following rows for validation; the rest is the test part.

    Returns:
        Layout ``series`` or ``sequences``, float32.

    Raises:
        DataError: naming the column or row that cannot be used.
    """
    file = TableFile(path, [time, *features, target, *([series] if series else [])])
    attrs = {"title": path.name, "source": path.name, "horizon": horizon, "description": ""}
    if series is None:
        data = _as_series(file, time, features, target)
        _check_future(file, features, target, horizon)
        if horizon:
            # What is known of the target at a row is the value that looked ahead to that row.
            data["persistence"] = data["targets"].shift(time=horizon)
            data = data.isel(time=slice(horizon, None))
    else:
        data = _as_sequences(file, time, features, target, series)
    _check_target(file, data["targets"].values)
    unit = "time" if series is None else "sample"
    part = split_by_time(data.sizes[unit], train_fraction, validation_fraction)
    data["part"] = part.rename(time=unit)
    layout = "series" if series is None else "sequences"
    units: dict[str, tuple[str, list]] = {"feature_unit": ("feature", ["as given"] * len(features))}
    units["target_unit"] = ("target", ["as given"])
    units["drifts"] = ("feature", [True] * len(features))
    return data.assign_coords(units).assign_attrs(attrs, layout=layout)


def _check_target(file: TableFile, values: np.ndarray) -> None:
    if (values == values[:1]).all():
        raise DataError(
            f"{file.name}: the target is {values.flat[0]:g} throughout; there is nothing to predict"
        )


def _check_future(file: TableFile, features: list[str], target: str, horizon: int) -> None:
    """Refuse a feature that holds what is to be predicted, or the target's future.

    At a row the target is known as it stood ``horizon`` rows before, and further back.
    """
    y = file.numbers(target)
    if horizon >= len(y):
        raise DataError(f"horizon is {horizon}; it must be below {len(y)}, the rows of {file.name}")
    for name in features:
        x = file.numbers(name)
        reach = range(-horizon - REACH, horizon + REACH + 1)
        lags = [lag for lag in reach if _equal(x, y, lag)]
        if 0 in lags or (lags and lags[0] > -max(horizon, 1)):
            shift = 0 if 0 in lags else lags[0]
            where = f"{abs(shift)} rows {'later' if shift > 0 else 'before'}" if shift else "there"
            raise DataError(
                f"{file.name}: in every row the feature {name!r} is what the target {target!r} is "
                f"{where}, which isn't known by then; remove it from features"
            )


def _check_known(file: TableFile, features: list[str], target: str, last: np.ndarray) -> None:
    """Refuse a feature whose ``last`` row of each sequence holds what is to be predicted."""
    y = file.numbers(target)[last]
    for name in features:
        if np.array_equal(file.numbers(name)[last], y):
            raise DataError(
                f"{file.name}: in the last row of every sequence the feature {name!r} is what the "
                f"target {target!r} is, which isn't known by then; remove it from features"
            )


def _equal(feature: np.ndarray, target: np.ndarray, lag: int) -> bool:
    """Whether a feature is in all rows what the target is ``lag`` rows later."""
    size = len(target) - abs(lag)
    one, other = feature[max(-lag, 0) :], target[max(lag, 0) :]
    few = min(size, 100)  # settles it nearly always
    return size > len(target) // 2 and all(
        np.array_equal(one[:end], other[:end]) for end in (few, size)
    )


def _as_series(file: TableFile, time: str, features: list[str], target: str) -> xr.Dataset:
    times = file.times(time)
    file.check_increasing(time, times)
    return xr.Dataset(
        {
            "features": (("time", "feature"), _columns(file, features)),
            "targets": (("time", "target"), _columns(file, [target])),
        },
        coords={"time": times, "feature": features, "target": [target]},
    )


def _columns(file: TableFile, names: list[str]) -> np.ndarray:
    return np.stack([file.numbers(name) for name in names], axis=-1).astype(np.float32)


def _as_sequences(
    file: TableFile, time: str, features: list[str], target: str, series: str
) -> xr.Dataset:
    names = file.rows[series]
    if names.isna().any():
        raise file.wrong(series, int(names.isna().to_numpy().argmax()), "it must name a sequence")
    starts = np.flatnonzero((names != names.shift()).to_numpy())
    first = names.iloc[starts]
    if first.duplicated().any():
        row = int(starts[first.duplicated().to_numpy().argmax()])
        raise file.wrong(series, row, "the rows of a sequence must stand together")
    times, ends = file.times(time), np.append(starts[1:], len(names))
    for start, end in zip(starts, ends, strict=True):
        file.check_increasing(time, times[start:end], int(start))
    _check_known(file, features, target, ends - 1)
    length = (ends - starts).astype(np.int32)
    padded = np.zeros((len(starts), length.max(), len(features)), np.float32)
    padded[np.arange(length.max()) < length[:, None]] = _columns(file, features)
    return xr.Dataset(
        {
            "features": (("sample", "time", "feature"), padded),
            "targets": (("sample", "target"), _columns(file, [target])[ends - 1]),
            "length": ("sample", length),
        },
        coords={"feature": features, "target": [target], "series": ("sample", first.to_numpy(str))},
    )


class TableFile:
    """The rows of a file; every check names the file, the line, the column and the value.

    Attributes:
        name: Name of the file.
        rows: Its rows, one per timestep.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Read the file at ``path``, which must hold ``columns``.

        Raises:
            DataError: if it can't be read, has no rows or lacks a column.
        """
        self._path = path
        self.name = path.name
        self.rows = _read(path)
        self._check_columns(columns)
        if self.rows.empty:
            raise DataError(f"{path} holds no rows")

    def numbers(self, name: str) -> np.ndarray:
        """Return a column of finite numbers, ``(row,)`` float64.

        Raises:
            DataError: naming the first invalid value.
        """
        column = self.rows[name]
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(float)
        bad = np.flatnonzero(~np.isfinite(numbers))
        if bad.size:
            right = "it must be a finite number"
            text = str(column.iloc[bad[0]]).strip()
            if _is_number(text.replace(",", ".")) and "," in text:
                right += f" with a point, as in {text.replace(',', '.')}"
            raise self.wrong(name, int(bad[0]), right)
        return numbers

    def times(self, name: str) -> np.ndarray:
        """Return a column of numbers unchanged, or of dates as ``datetime64[ns]`` in UTC.

        Raises:
            DataError: naming the first value that is not a time, or of another kind than the first.
        """
        column = self.rows[name]
        if pd.api.types.is_numeric_dtype(column):
            return self.numbers(name) if column.isna().any() else column.to_numpy()
        dates = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
        if dates.isna().any():
            row = int(dates.isna().to_numpy().argmax())
            raise self.wrong(
                name, row, "it must be a number or a date such as 2024-12-31 or 2024-12-31T23:59:00"
            )
        offset = column.astype(str).str.contains(OFFSET).to_numpy()
        if offset.any() and not offset.all():
            row = int((offset != offset[0]).argmax())
            raise self.wrong(name, row, "a UTC offset must appear in all rows or in none")
        return dates.dt.tz_localize(None).astype("datetime64[ns]").to_numpy()

    def check_increasing(self, name: str, times: np.ndarray, first: int = 0) -> None:
        """Refuse ``times``, from row ``first`` on, that do not strictly increase."""
        bad = np.flatnonzero(~(times[1:] > times[:-1]))
        if bad.size:
            row = first + int(bad[0]) + 1
            before = self.rows[name].iloc[row - 1]
            same = times[bad[0] + 1] == times[bad[0]]
            word = "it repeats" if same else "it goes back behind"
            raise self.wrong(
                name, row, f"{word} {before} in the row before; times must increase, each once"
            )

    def wrong(self, name: str, row: int, right: str) -> DataError:
        """Return the error for the value of column ``name`` in a row, counted from 0."""
        value = self.rows[name].iloc[row]
        shown = "empty" if pd.isna(value) else repr(getattr(value, "item", lambda: value)())
        return DataError(f"{self.name}, {self._place(row)}: {name!r} is {shown}; {right}")

    def _place(self, row: int) -> str:
        if self._path.suffix.lower() == ".parquet":
            return f"row {row + 1}"
        with _open(self._path) as file:
            lines = [number for number, line in enumerate(file, 1) if line.strip()]
        return f"line {lines[row + 1]}"

    def _check_columns(self, columns: Sequence[str]) -> None:
        names = [str(name) for name in self.rows.columns]
        lost = next((name for name in columns if name not in names), None)
        if lost is None:
            return
        if len(names) == 1:
            for sign, words in SEPARATORS.items():
                if sign in names[0]:
                    raise DataError(
                        f"{self.name}, line 1: columns are separated by {words}, in "
                        f"{names[0]!r}; they must be separated by commas"
                    )
        raise DataError(f"{self.name}: column {lost!r} is missing; there are {names}")


def _read(path: Path) -> pd.DataFrame:
    kinds = (".csv", ".csv.gz", ".parquet")
    if not path.name.lower().endswith(kinds):
        raise DataError(f"{path} is not a readable table; allowed are {', '.join(kinds)}")
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        _check_names(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(path, **CSV)
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
    except pd.errors.EmptyDataError:
        why = "it is empty; line 1 must name the columns"
    except pd.errors.ParserWarning:
        why = "its lines hold more values than line 1 has names; each column needs a name"
    except (ValueError, OSError, EOFError, zlib.error) as error:
        why = str(error).strip()
    raise DataError(f"{path} can't be read: {why}")


def _check_names(path: Path) -> None:
    """Refuse a name that stands twice in the first line: pandas would give it another."""
    first = pd.read_csv(path, **CSV, header=None, nrows=1, dtype=str).iloc[0].dropna()
    if first.duplicated().any():
        name = first[first.duplicated()].iloc[0]
        raise ValueError(f"column {name!r} appears twice in line 1; names must differ")


def _open(path: Path) -> Any:
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    return opener(path, "rt", encoding="utf-8-sig")


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False
