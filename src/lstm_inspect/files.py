"""Read arrays, tables and texts from files; nothing in a file is run."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd


def check_file(path: Path, kinds: tuple[str, ...]) -> None:
    """Refuse a file that isn't there, is of another kind, or holds nothing.

    Raises:
        ValueError: naming the file, and what would be right.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    if path.suffix not in kinds:
        raise ValueError(f"{path}: it must be one of {', '.join(kinds)}")
    if not path.stat().st_size:
        raise ValueError(f"{path}: it is empty")


def read_array(path: Path) -> np.ndarray:
    """Read an array that NumPy wrote.

    Raises:
        ValueError: naming the file, and why it can't be read.
    """
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError(f"{path} can't be read as NumPy wrote it (it holds no array)")
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged file raises errors of many kinds
        raise ValueError(_unreadable(f"{path}", error)) from error
    return array


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """Read an archive that NumPy wrote: its arrays by name.

    Raises:
        ValueError: naming the file, the array, and why it can't be read.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} can't be read as NumPy wrote it (it is no archive)")
    held: dict[str, np.ndarray] = {}
    what = str(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in archive.files:
                what = f"{path}: array {name!r}"
                held[name] = np.asarray(archive[name])
    except Exception as error:  # a damaged file raises errors of many kinds
        raise ValueError(_unreadable(what, error)) from error
    for name, array in held.items():
        if array.dtype.kind == "S" and not array.ndim:  # raw bytes of another file
            raise ValueError(f"{path}: {name!r} is no array of NumPy")
    if not held:
        raise ValueError(f"{path}: it holds no array")
    return held


def _unreadable(what: str, error: Exception) -> str:
    if "pickle" in str(error) or "Object arrays" in str(error):
        return f"{what} holds pickled objects, which are never loaded; save plain numbers"
    return f"{what} can't be read as NumPy wrote it ({' '.join(str(error).split())[:200]})"


def read_table(path: Path) -> pd.DataFrame:
    """Read a table.

    Raises:
        ValueError: naming the file, and what is missing to read it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the first
            csv = path.suffix == ".csv"
            table = pd.read_csv(path, index_col=False) if csv else pd.read_parquet(path)
    except ImportError as error:
        raise ValueError(f"{path}: Parquet needs pyarrow: pip install pyarrow") from error
    except Exception as error:  # parsers raise errors of many kinds
        raise ValueError(
            f"{path}: it can't be read as a table ({' '.join(str(error).split())[:200]})"
        ) from error
    if table.empty:
        raise ValueError(f"{path}: it holds no row")
    if any(name is not None for name in table.index.names):
        table = table.reset_index()  # Parquet keeps columns such as ``sample`` there
    _check_names(path, [str(column) for column in table])
    return table


def _check_names(path: Path, columns: list[str]) -> None:
    """Refuse a table whose first line holds values, or a column that nobody has named."""
    if unnamed := [name for name in columns if name.startswith("Unnamed: ")]:
        raise ValueError(
            f"{path}: column {int(unnamed[0][9:]) + 1} has no name; leave out the numbers of the "
            "rows (index=False), and name every column in the first line"
        )
    if len(columns) == 1 and re.search("[;\t|]", columns[0]):
        raise ValueError(f"{path}: its one column is {columns[0]!r}; separate columns by commas")
    numbered = columns == [str(number) for number in range(len(columns))]
    if not numbered and all(re.fullmatch(r"-?\d*\.?\d+(e[-+]?\d+)?(\.\d+)?", c) for c in columns):
        raise ValueError(f"{path}: its first line holds numbers; it must name the columns")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text; a word may hold other breaks than that of a line.

    Raises:
        ValueError: naming the file, if it is no text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: it is no text in UTF-8 ({error})") from error
    return text.removesuffix("\n").split("\n")
