"""Cut processed data into a model's samples, scaled by the training part alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from experiments.data.schema import PARTS, DataError, check_processed

CLIP = 5.0
"""Scaled features are cut off at so many standard deviations: counts and returns have fat tails."""


def load_windows(
    path: Path,
    *,
    target: str,
    window: int,
    per_step: bool = False,
    scale_target: bool = False,
    center: bool = False,
) -> xr.Dataset:
    """Cut a long series into windows of ``window`` steps, one for each row that can end one.

    A window belongs to a part if all its rows, and those that its target looks ahead to, belong to
    it. No window of one part therefore sees another's future: the ends of windows of two parts are
    at least ``window`` plus the data's horizon apart.

    Args:
        path: Processed data of layout ``series``.
        target: Name of the target to predict.
        window: Steps T of a window.
        per_step: Whether each step has its own target, or only the last one.
        scale_target: Whether to standardise the target as well.
        center: Whether to subtract the mean of each window from the features that drift, and to
            return the mean of ``persistence`` over the window as ``level``, to which a model's
            forecast is added.

    Returns:
        ``x (sample, time, feature)`` float32, ``y (sample)`` or ``(sample, time)``, ``part
        (sample)`` as an index into ``PARTS``, the coordinate ``end (sample)``, and ``persistence``,
        shaped like ``y``, if the data have it. With ``center`` also ``level (sample)`` in the scale
        of ``y``, and ``window_means (sample, feature)``, the subtracted means. ``attrs`` hold
        ``target_mean``, ``target_std`` and ``horizon``, the rows that the target looks ahead.

    Raises:
        DataError: if the layout is wrong or the target missing, if a part has no window, or if
            ``center`` is set for data without persistence or for a target per step, which would
            see the mean of later steps.
    """
    data = _open(path, "series", target)
    if center and (per_step or "persistence" not in data):
        raise DataError(f"center is not possible: {path.name} has no persistence, or y is per step")
    size, horizon = data.sizes["time"], data.attrs["horizon"]
    part = data["part"].values
    if size < window:
        raise DataError(f"window is {window}, but {path.name} has {size} rows")
    ends = np.arange(window - 1, size)
    ahead = np.minimum(ends + horizon, size - 1)
    whole = (part[ends - window + 1] == part[ends]) & (part[ahead] == part[ends])
    ends = ends[whole]
    train = part == PARTS.index("train")
    values = data["features"].values
    mean, std = _moments(values[train])
    x = _windows(_scaled(values, mean, std), window)[whole]
    y = data["targets"].sel(target=target).values
    moments = _moments(y[train]) if scale_target else (0.0, 1.0)
    variables = {"y": (y - moments[0]) / moments[1]}
    if "persistence" in data:
        past = data["persistence"].sel(target=target).values
        variables["persistence"] = (past - moments[0]) / moments[1]
    if per_step:
        dims: tuple[str, ...] = ("sample", "time")
        variables = {name: _windows(v, window)[whole] for name, v in variables.items()}
    else:
        dims = ("sample",)
        variables = {name: v[ends] for name, v in variables.items()}
    samples = xr.Dataset(
        {"x": (("sample", "time", "feature"), x), "part": ("sample", part[ends])}
        | {name: (dims, v.astype(np.float32)) for name, v in variables.items()},
        coords={"feature": data["feature"], "end": ("sample", data["time"].values[ends])},
    )
    if center:
        _center(samples, _windows(past, window)[whole], moments, data["drifts"].values)
    return _finished(samples, data, target, moments)


def load_sequences(
    path: Path, *, target: str, mask_value: float = 0.0, scale_target: bool = False
) -> xr.Dataset:
    """Load whole sequences, padded with ``mask_value`` after their last step.

    Args:
        path: Processed data of layout ``sequences``.
        target: Name of the target to predict.
        mask_value: Value of the padding.
        scale_target: Whether to standardise the target as well.

    Returns:
        As for :func:`load_windows`, with ``y (sample)`` and ``length (sample)`` in steps.

    Raises:
        DataError: as for :func:`load_windows`, if each step has its own target, and if all features
            of a scaled real step equal ``mask_value``, since a masked model would skip it.
    """
    data = _open(path, "sequences", target)
    if "time" in data["targets"].dims:
        raise DataError(f"{path.name} has a target for each step, not one for each sequence")
    real = np.arange(data.sizes["time"]) < data["length"].values[:, None]
    train = data["part"].values == PARTS.index("train")
    values = data["features"].values
    mean, std = _moments(values[real & train[:, None]])
    x = _scaled(values, mean, std)
    lost = real & (x == mask_value).all(axis=-1)
    if lost.any():
        sample, step = np.argwhere(lost)[0]
        raise DataError(
            f"step {step} of sequence {sample} equals mask_value {mask_value} in all features "
            "after scaling: the mask would skip it. Choose another mask_value"
        )
    x[~real] = mask_value
    y = data["targets"].sel(target=target).values
    moments = _moments(y[train]) if scale_target else (0.0, 1.0)
    samples = xr.Dataset(
        {
            "x": (("sample", "time", "feature"), x),
            "y": ("sample", ((y - moments[0]) / moments[1]).astype(np.float32)),
            "length": data["length"],
            "part": data["part"],
        },
        coords={"feature": data["feature"]},
    )
    return _finished(samples, data, target, moments)


def _open(path: Path, layout: str, target: str) -> xr.Dataset:
    if not path.is_dir():
        raise DataError(f"{path} is missing; `dvc repro prepare@{path.stem}` makes it")
    data = check_processed(xr.open_zarr(path, chunks=None, consolidated=False).load())
    if data.attrs["layout"] != layout:
        raise DataError(
            f"{path.name} holds {data.attrs['layout']}, but this configuration needs a data set of "
            f"{layout}"
        )
    targets = list(data["target"].values)
    if target not in targets:
        raise DataError(f"target {target!r} is not in {path.name}; there are {targets}")
    return data


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation over the first axis; a constant is left unscaled."""
    values = values.astype(np.float64)
    std = values.std(axis=0)
    return values.mean(axis=0), np.where(std > 0, std, 1.0)


def _scaled(values: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    return np.clip((values - mean) / std, -CLIP, CLIP).astype(np.float32)


def _center(samples: xr.Dataset, past: np.ndarray, moments: tuple, drifts: np.ndarray) -> None:
    """Take the means over each window off the drifting features, in place.

    ``past (sample, time)`` is the target's quantity as far as it is known at each step.
    """
    means = samples["x"].mean("time") * drifts
    samples["x"] = samples["x"] - means
    samples["window_means"] = means
    level = (past.mean(axis=1) - moments[0]) / moments[1]
    samples["level"] = "sample", level.astype(np.float32)


def _windows(rows: np.ndarray, window: int) -> np.ndarray:
    """Return all windows ``(window start, time, ...)`` of ``rows (time, ...)``."""
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(rows, window, axis=0), -1, 1)


def _finished(samples: xr.Dataset, data: xr.Dataset, target: str, moments: tuple) -> xr.Dataset:
    for index, name in enumerate(PARTS):
        if not (samples["part"] == index).any():
            raise DataError(f"the {name} part holds no sample; change the fractions or the window")
    unit = str(data["target_unit"].sel(target=target).values)
    return samples.assign_attrs(
        title=data.attrs["title"],
        description=data.attrs["description"],
        source=data.attrs["source"],
        target=target,
        target_unit=unit,
        target_mean=float(moments[0]),
        target_std=float(moments[1]),
        horizon=int(data.attrs.get("horizon", 0)),
    )
