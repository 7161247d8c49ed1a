"""A user's own CSV or Parquet file as processed data."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr
from pydantic import Field, model_validator

from experiments.data.catalogue import SplitByTime, register
from experiments.data.parts import split_by_time
from experiments.data.raw import fingerprint, write_record
from experiments.data.reading import TableFile
from experiments.data.schema import DataError
from notebook_pipeline.parameters.strict import Distinct

REACH = 10
"""Rows beyond the horizon in which a feature is looked for in the target."""


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
