"""Read a user's table, and describe each invalid value with its line."""

from __future__ import annotations

import gzip
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.data.schema import DataError

# No column becomes an index: lines of more values than names would else move all of them by one.
CSV: dict[str, Any] = {"index_col": False, "skipinitialspace": True, "encoding": "utf-8"}

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What other programs put between columns, and what it is called."""

OFFSET = r":\d\d(?:\.\d+)?\s*(?:Z|[+-]\d\d(?::?\d\d)?)$"
"""The end of a time of day that says its offset from UTC."""


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
