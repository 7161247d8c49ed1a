"""The layouts of processed data, and their checks.

Processed data have one of two layouts, distinguished by ``attrs["layout"]``:

``series``
    One long recording. ``features (time, feature)``, ``targets (time, target)``,
    ``part (time)``, with ``time`` strictly increasing. Windows are cut from it on loading.
``sequences``
    Many short recordings. ``features (sample, time, feature)`` padded after ``length (sample)``,
    ``targets (sample, target)`` or ``(sample, time, target)``, ``part (sample)``.
"""

from __future__ import annotations

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
    for name in ("features", "targets", "part"):
        if name not in data:
            raise DataError(f"variable {name!r} is missing; the data has {list(data.data_vars)}")
    if data["features"].dims != (*leading, "feature"):
        raise DataError(f"features has dims {data['features'].dims}, not {(*leading, 'feature')}")
    allowed = {(*leading, "target"), (leading[0], "target")}
    if data["targets"].dims not in allowed:
        raise DataError(f"targets has dims {data['targets'].dims}, not one of {sorted(allowed)}")
    if data.sizes[leading[0]] == 0:
        raise DataError(f"dimension {leading[0]!r} is empty")
    if layout == "series":
        check_increasing(data["time"].values)
    else:
        _check_lengths(data)
    for name in ("features", "targets"):
        check_finite(data[name])
    part = data["part"].values
    if part.min() < -1 or part.max() >= len(PARTS):
        raise DataError(f"part holds {part.min()} to {part.max()}; allowed are -1 to 2")
    return data


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
    if "length" not in data:
        raise DataError("variable 'length' is missing; sequences need it")
    length = data["length"].values
    bad = np.flatnonzero((length < 1) | (length > data.sizes["time"]))
    if bad.size:
        raise DataError(
            f"sequence {int(bad[0])} has length {length[bad[0]]}; "
            f"allowed are 1 to {data.sizes['time']}"
        )
