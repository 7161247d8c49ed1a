"""The inputs, labels and words that files hold for a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from lstm_inspect.files import check_file, read_archive, read_array, read_lines, read_table

INPUTS, LABELS, MASK, SAMPLE = "x", ("labels", "y"), "mask", "sample"
"""Names of arrays in an archive, and of the column that tells samples apart."""

KINDS = (".npz", ".npy", ".csv", ".parquet")


@dataclass(frozen=True)
class Data:
    """What a file holds.

    Args:
        x: An array, or a dict of arrays by the names of the model's inputs.
        names: What each array is called in an error.
        labels: One for each sample; or None.
        mask: ``(sample, time)``, true where a step is real; or None.
    """

    x: Any
    names: list[str]
    labels: np.ndarray | None = None
    mask: np.ndarray | None = None


def read_data(path: Path, model: keras.Model, *, label_column: str | None = None) -> Data:
    """Read what a model is to read.

    Args:
        path: ``.npz``, ``.npy``, ``.csv`` or ``.parquet``.
        model: The model, whose inputs an archive may name.
        label_column: The column or array of labels; None is ``labels`` or ``y`` of an archive.

    Raises:
        ValueError: naming the file, the array or column, and what would be right.
    """
    check_file(path, KINDS)
    if path.suffix == ".npy":
        if label_column is not None:
            raise ValueError(
                f"--labels {label_column}: there is no such file, and {path} has no columns"
            )
        return Data(read_array(path), [f"{path}: the array"])
    if path.suffix == ".npz":
        return _from_archive(path, model, label_column)
    # Whole numbers stay as they are; all others become what the model reads.
    precise = any(spec.dtype == "float64" for spec in getattr(model, "inputs", None) or ())
    floats = np.float64 if precise else np.float32
    return _from_table(path, read_table(path), label_column, floats)


def _from_archive(path: Path, model: keras.Model, label_name: str | None) -> Data:
    held = read_archive(path)
    if label_name is not None and label_name not in held:
        raise ValueError(
            f"{path}: it holds no array {label_name!r} of labels; it holds {sorted(held)}"
        )
    inputs = [spec.name for spec in getattr(model, "inputs", None) or ()]
    own = inputs if len(inputs) > 1 else []  # an input may be called y
    wanted = label_name or next((name for name in LABELS if name in held.keys() - {*own}), None)
    labels = None if wanted is None else held[wanted]
    rest = [name for name in held if name not in (*LABELS, MASK, wanted)]
    if len(inputs) > 1:
        if missing := [name for name in inputs if name not in held]:
            raise ValueError(
                f"{path}: it holds no array {missing[0]!r}; model {model.name!r} has the inputs "
                f"{inputs}, the file {sorted(held)}"
            )
        x: Any = {name: held[name] for name in inputs}
        names = [f"{path}: array {name!r}" for name in inputs]
    else:
        chosen = [n for n in (INPUTS, *inputs) if n in rest] or (rest if len(rest) == 1 else [])
        if not chosen:
            raise ValueError(
                f"{path}: it holds the arrays {sorted(held)}; the inputs must be called "
                f"{INPUTS!r}, or be the only one"
            )
        x, names = held[chosen[0]], [f"{path}: array {chosen[0]!r}"]
    return Data(x, names, labels, None if MASK in own else held.get(MASK))


def _from_table(path: Path, table: pd.DataFrame, label_column: str | None, floats: type) -> Data:
    """Cut a table, a row for each step, into sequences; shorter ones are padded and masked."""
    if label_column is not None and label_column not in table:
        raise ValueError(
            f"{path}: it has no column {label_column!r} of labels; it has {list(table)}"
        )
    features = [c for c in table if c not in (SAMPLE, label_column)]
    if not features:
        raise ValueError(f"{path}: it has no column of features beside {list(table)}")
    for column in features:
        if not pd.api.types.is_numeric_dtype(table[column]):
            raise ValueError(
                f"{path}: column {column!r} holds {table[column].dtype} values; features must be "
                "numbers"
            )
        if bad := int(table[column].isna().sum()):
            raise ValueError(f"{path}: column {column!r} is empty in {bad} rows")
    if SAMPLE in table and table[SAMPLE].isna().any():
        raise ValueError(f"{path}: column {SAMPLE!r} is empty in some rows")
    groups = (
        [group for _, group in table.groupby(SAMPLE, sort=False)] if SAMPLE in table else [table]
    )
    longest = max(map(len, groups))
    kind = table[features].to_numpy().dtype
    x = np.zeros((len(groups), longest, len(features)), kind if kind.kind in "iu" else floats)
    mask = np.zeros(x.shape[:2], bool)
    for place, group in enumerate(groups):
        x[place, : len(group)] = group[features].to_numpy()
        mask[place, : len(group)] = True
    labels = None
    if label_column is not None:
        for group in groups:
            if group[label_column].nunique(dropna=False) != 1 or group[label_column].isna().any():
                raise ValueError(
                    f"{path}: column {label_column!r} must hold one label in all rows of a sample"
                )
        labels = np.array([group[label_column].iloc[0] for group in groups])
    shown = ", ".join(map(str, features[:5])) + ", ..." * (len(features) > 5)
    names = [f"{path}: its {len(features)} columns of features ({shown})"]
    return Data(x, names, labels, None if mask.all() else mask)


def fit_to_inputs(data: Data, model: keras.Model) -> Data:
    """Give a table of one column the axes of a model that reads whole numbers (sample, time)."""
    specs = list(getattr(model, "inputs", None) or ())
    if isinstance(data.x, dict) or len(specs) != 1:
        return data
    one = len(specs[0].shape) == 2 and data.x.ndim == 3 and data.x.shape[2] == 1
    return replace(data, x=data.x[..., 0]) if one else data


def read_labels(path: Path) -> np.ndarray:
    """Read a file of labels: an array, a table of one column, or a text with one on each line.

    Raises:
        ValueError: naming the file and what would be right.
    """
    check_file(path, (*KINDS, ".txt"))
    if path.suffix == ".txt":
        lines = np.array(read_lines(path))
        try:
            return lines.astype(np.float64)
        except ValueError:
            return lines
    if path.suffix == ".npy":
        return read_array(path)
    if path.suffix == ".npz":
        held = read_archive(path)
        named = [name for name in LABELS if name in held] or list(held)
        if len(named) == 1 or named[0] in LABELS:
            return held[named[0]]
        raise ValueError(f"{path}: it holds {named}; the labels must be called {LABELS[0]!r}")
    table = read_table(path)
    if table.shape[1] != 1:
        raise ValueError(f"{path}: it has the columns {list(table)}; labels are one column")
    return table.iloc[:, 0].to_numpy()


def read_tokens(path: Path) -> list[str]:
    """Read a vocabulary: a word on each line, the first is number 0.

    Raises:
        ValueError: naming the file.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    words = read_lines(path)
    if words == [""]:
        raise ValueError(f"{path}: it is empty; it must have a word on each line")
    return words
