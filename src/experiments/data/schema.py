"""The layouts of processed data, and their checks.

Processed data have one of two layouts, distinguished by ``attrs["layout"]``:

``series``
    One long recording. ``features (time, feature)``, ``targets (time, target)``,
    ``part (time)``, with ``time`` strictly increasing. Windows are cut from it on loading.
    ``attrs["horizon"]`` is the number of rows that targets look ahead. Optional:
    ``persistence (time, target)``, the quantity of each target as far as it is known at a row;
    it needs ``drifts (feature)``, whether the level of a feature wanders.
``sequences``
    Many short recordings. ``features (sample, time, feature)`` padded after ``length (sample)``,
    ``targets (sample, target)`` or ``(sample, time, target)``, ``part (sample)``.

Both need the coordinates ``feature`` and ``target``, which name each once, and ``target_unit
(target)``; and ``attrs["title"]``, ``["description"]`` and ``["source"]``, texts for the reports.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from notebook_pipeline.errors import UserError

PARTS = ("train", "validation", "test")
"""Parts of a data set; ``part`` holds an index into this tuple, or -1 for unused."""


class DataError(UserError, ValueError):
    """The data are invalid; the message names the row, column or file."""


def check_processed(data: xr.Dataset) -> xr.Dataset:
    """Return ``data`` unchanged if it follows one of the two layouts.

    Raises:
        DataError: naming the variable, dimension or row that breaks the layout.
    """
    layout = str(data.attrs.get("layout"))
    leading = {"series": ("time",), "sequences": ("sample", "time")}.get(layout)
    if leading is None:
        raise DataError(f"attrs['layout'] is {layout!r}; it must be 'series' or 'sequences'")
    _check_attributes(data)
    _check_dims(data, leading)
    _check_names(data)
    if data.sizes[leading[0]] == 0:
        raise DataError(f"dimension {leading[0]!r} is empty")
    if layout == "series":
        check_increasing(data["time"].values)
    else:
        _check_lengths(data)
    for name in ("features", "targets", "persistence"):
        if name in data:
            check_finite(data[name])
    part = data["part"].values
    if part.dtype.kind not in "iu":
        raise DataError(f"part has dtype {part.dtype}; it must hold integers from -1 to 2")
    if part.min() < -1 or part.max() >= len(PARTS):
        raise DataError(f"part holds {part.min()} to {part.max()}; allowed are -1 to 2")
    return data


def _check_attributes(data: xr.Dataset) -> None:
    for name in ("title", "description", "source"):
        if not isinstance(value := data.attrs.get(name), str):
            raise DataError(f"attrs[{name!r}] is {value!r}; it must be a text for the reports")
    horizon: Any = data.attrs.get("horizon")
    whole = isinstance(horizon, int | np.integer) and not isinstance(horizon, bool)
    if data.attrs["layout"] == "series" and not (whole and horizon >= 0):
        raise DataError(
            f"attrs['horizon'] is {horizon!r}; it must be the number of rows that targets look "
            "ahead, 0 or more"
        )


def _check_dims(data: xr.Dataset, leading: tuple[str, ...]) -> None:
    """Refuse a variable that is missing or has other dimensions than its layout says."""
    targets: set[tuple[str, ...]] = {(leading[0], "target"), (*leading, "target")}
    needed: dict[str, set[tuple[str, ...]]] = {
        "features": {(*leading, "feature")},
        "targets": targets,
        "part": {(leading[0],)},
        "feature": {("feature",)},
        "target": {("target",)},
        "target_unit": {("target",)},
    }
    if "persistence" in data:
        needed |= {"persistence": targets, "drifts": {("feature",)}}
    if leading[0] == "sample":
        needed["length"] = {("sample",)}
    for name, allowed in needed.items():
        if name not in data:
            raise DataError(f"variable {name!r} is missing; the data has {list(data.variables)}")
        if data[name].dims not in allowed:
            right = " or ".join(map(str, sorted(allowed)))
            raise DataError(f"{name} has dims {data[name].dims}, not {right}")


def _check_names(data: xr.Dataset) -> None:
    for dim in ("feature", "target"):
        names = data.indexes[dim]
        if names.empty:
            raise DataError(f"dimension {dim!r} is empty")
        if names.has_duplicates:
            twice = names[names.duplicated()][0]
            raise DataError(f"{dim} {twice!r} appears twice; names must differ")


def check_increasing(times: np.ndarray) -> None:
    """Refuse duplicate or backward ``times`` (any ordered dtype, 1-D), naming the first row."""
    bad = np.flatnonzero(~(times[1:] > times[:-1]))  # so that NaN is refused as well
    if bad.size:
        row = int(bad[0]) + 1
        back = "goes back behind" if times[row] < times[row - 1] else "doesn't follow"
        kind = "repeats" if times[row] == times[row - 1] else back
        raise DataError(f"time at row {row} ({times[row]}) {kind} row {row - 1} ({times[row - 1]})")


def check_finite(values: xr.DataArray) -> None:
    """Refuse NaN and infinities, naming the first position by its dimensions."""
    if values.dtype.kind not in "biuf":
        raise DataError(f"{values.name} has dtype {values.dtype}; it must hold real numbers")
    bad = np.argwhere(~np.isfinite(values.values))
    if bad.size:
        place = tuple(int(i) for i in bad[0])
        labels = []
        for dim, index in zip(values.dims, place, strict=True):
            named = dim in values.coords and values.coords[dim].dtype.kind in "UOT"
            labels.append(f"{dim} {values.coords[dim].values[index] if named else index}")
        value = values.values[place]
        raise DataError(f"{values.name} is {value} at {', '.join(labels)}; it must be finite")


def _check_lengths(data: xr.Dataset) -> None:
    length = data["length"].values
    bad = np.flatnonzero((length < 1) | (length > data.sizes["time"]))
    if bad.size:
        raise DataError(
            f"sequence {int(bad[0])} has length {length[bad[0]]}; "
            f"allowed are 1 to {data.sizes['time']}"
        )
