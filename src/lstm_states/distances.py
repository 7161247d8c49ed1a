"""How far the states of two runs are apart, and how soon what set them apart has faded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr

from lstm_states.nodes import select_nodes

FADED = float(np.exp(-1))
"""Share of its peak to which a distance must fall."""

_DISTANCES = ("euclidean", "relative", "cosine")


def measure_distances(
    traces: xr.DataTree,
    others: xr.DataTree,
    *,
    quantity: str = "hidden",
    layers: Sequence[str] | str | None = None,
) -> xr.Dataset:
    """Measure how far the states of two runs are apart, layer by layer and step by step.

    Args:
        traces: A tree from ``record_traces``.
        others: Another one of the same samples and steps: of other inputs, edits or weights.
        quantity: What to compare, such as ``hidden``, ``cell`` or a gate.
        layers: The addresses of the layers to compare, one or several; None is all. They must have
            the same samples (or rows) and steps.

    Returns:
        Dataset of three distances ``(layer, sample, time)`` (or ``row`` in place of ``sample``)
        between the vectors a and b of all units (of a ConvLSTM, of all positions, too):
        ``euclidean``, |b - a|; ``relative``, |b - a| / |a|; ``cosine``, 1 - a·b / (|a| |b|).
        ``relative`` is infinity or NaN where a is zero, ``cosine`` NaN where one of both is. All
        are NaN where ``mask``, of the same dimensions, is false: where a step isn't real in both.
        Of traces with Dask's arrays, it has Dask's arrays.

    Raises:
        ValueError: if the trees or layers don't fit each other, or lack the quantity; it says
            which.

    Example:
        >>> apart = measure_distances(record_traces(model, x), record_traces(model, x_changed))
        >>> apart["euclidean"].sel(layer="lstm_1").mean("sample")
    """
    nodes, other_nodes = (select_nodes(tree, quantity, layers) for tree in (traces, others))
    if list(nodes) != list(other_nodes):
        raise ValueError(f"traces hold the layers {list(nodes)}, the others {list(other_nodes)}")
    found = [_distances(a, nodes[a], other_nodes[a], quantity) for a in nodes]
    for address, node in zip(nodes, found, strict=True):
        if node.sizes != found[0].sizes:
            raise ValueError(
                f"layer {address!r} has {dict(node.sizes)}, but {next(iter(nodes))!r} "
                f"{dict(found[0].sizes)}; choose layers of the same sizes with layers=[...]"
            )
    joined = xr.concat(found, xr.DataArray(list(nodes), dims="layer", name="layer"))
    backwards = [bool(node.attrs["go_backwards"]) for node in nodes.values()]
    return joined.assign_coords(go_backwards=("layer", backwards))


def _distances(address: str, node: xr.Dataset, other: xr.Dataset, quantity: str) -> xr.Dataset:
    one, two = node[quantity], other[quantity]
    if one.sizes != two.sizes:
        raise ValueError(
            f"layer {address!r} has {dict(one.sizes)} in traces, {dict(two.sizes)} in others"
        )
    if not one.coords.equals(two.coords):
        raise ValueError(f"layer {address!r} holds other samples, steps or units in others")
    real = node["mask"] & other["mask"]
    behind = one.dims[2:]
    found = xr.apply_ufunc(
        partial(_apart, axes=tuple(range(-len(behind), 0))),
        *(one, two, real),
        input_core_dims=[behind, behind, ()],
        output_core_dims=[()] * len(_DISTANCES),
        dask="parallelized",
        output_dtypes=[np.float64] * len(_DISTANCES),
    )
    return xr.Dataset({**dict(zip(_DISTANCES, found, strict=True)), "mask": real})


def _apart(
    one: np.ndarray, two: np.ndarray, real: np.ndarray, axes: tuple[int, ...]
) -> tuple[np.ndarray, ...]:
    """Return the distances between vectors along ``axes``, NaN where ``real`` is false."""
    a, b = one.astype(np.float64), two.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        size, other_size = ((values**2).sum(axes) ** 0.5 for values in (a, b))
        euclidean = ((b - a) ** 2).sum(axes) ** 0.5
        cosine = 1 - (a * b).sum(axes) / (size * other_size)
        found = (euclidean, euclidean / size, cosine)
    return tuple(np.where(real, values, np.nan) for values in found)


def measure_time_scales(distances: xr.Dataset, *, time: int) -> xr.Dataset:
    """Count the steps until a distance has faded to 1/e of its peak, after a change at one step.

    After Hermans and Schrauwen (2013), "Training and Analysing Deep Recurrent Neural Networks", who
    change one character of a text.

    Args:
        distances: What :func:`measure_distances` returned for runs that differ from one step on: by
            an input, or by an edit of a state.
        time: The changed step, counted as in the input, or a negative number that counts from the
            end of the distances. Samples in which it is masked don't count, nor do steps before
            it: a layer above one that runs the other way differs there, too.

    Returns:
        Dataset of ``time_scale (layer)`` in real steps since the changed one, in the order in which
        the layer takes them: the first at which the mean Euclidean distance over samples is 1/e of
        its peak or less, after the peak. It is infinity where the distance hasn't faded by the last
        step, and NaN where there is none, or it is no number. With ``peak (layer)``, the step of
        the peak, and ``fading (layer, step)``, the mean distance over that of the peak; at each
        step over the samples that have so many, NaN where none has.

    Raises:
        ValueError: if ``time`` is no step of the distances, or these lack steps in between.

    Example:
        >>> changed = x.copy()
        >>> changed[:, 20] += 1
        >>> apart = measure_distances(record_traces(model, x), record_traces(model, changed))
        >>> measure_time_scales(apart, time=20)["time_scale"]
    """
    if "time" in distances.coords and (np.diff(distances["time"]) != 1).any():
        raise ValueError("distances holds selected steps; all since the changed one are needed")
    time = _place(distances, time)
    curves = [_mean_curve(distances.sel(layer=layer), time) for layer in distances["layer"].values]
    found = [_fading(curve) for curve in curves]
    peaks = [curve.max(initial=0.0) for curve in curves]
    fading = np.full((len(curves), max(map(len, curves))), np.nan)
    with np.errstate(invalid="ignore"):  # what never moves has no peak: NaN
        for row, curve, peak in zip(fading, curves, peaks, strict=True):
            row[: len(curve)] = curve / peak
    return xr.Dataset(
        {
            "time_scale": ("layer", [scale for scale, _ in found], {"units": "steps"}),
            "peak": ("layer", [peak for _, peak in found], {"units": "steps"}),
            "fading": (("layer", "step"), fading),
        },
        coords={"layer": distances["layer"].values},
    )


def _place(distances: xr.Dataset, time: int) -> int:
    """Return at which place the step ``time`` of the input stands."""
    if "time" not in distances.coords or not isinstance(time, int | np.integer) or time < 0:
        return time
    steps = distances["time"].values
    if time not in steps:
        raise ValueError(f"time is {time!r}; distances holds the steps {steps[0]} to {steps[-1]}")
    return int(np.flatnonzero(steps == time)[0])


def _mean_curve(distances: xr.Dataset, time: int) -> np.ndarray:
    """Return the mean Euclidean distance over samples since a step, ``(step,)``."""
    values, mask = distances["euclidean"].values, distances["mask"].values
    values, there = follow(values, mask, time, backwards=bool(distances["go_backwards"]))
    return values.mean(0, where=there)


def _fading(curve: np.ndarray) -> tuple[float, float]:
    """Return when a curve has faded, and when it has its peak; NaN without one."""
    if not np.isfinite(curve).all() or not curve.any():
        return np.nan, np.nan
    peak = int(curve.argmax())
    faded = np.flatnonzero(curve[peak:] <= FADED * curve[peak])
    return float(peak + faded[0] if faded.size else np.inf), float(peak)


def follow(
    values: np.ndarray, mask: np.ndarray, time: int, *, backwards: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Bring values to the real steps since one, in the order in which a layer takes the steps.

    Args:
        values: ``(sample, time, ...)``.
        mask: ``(sample, time)``, true where a step is real.
        time: The first step.
        backwards: Whether the layer takes the steps from the last to the first.

    Returns:
        The values ``(sample, step, ...)``, and ``(sample, step)``, whether a sample has so many
        real steps; one in which the first isn't real has none.

    Raises:
        ValueError: if there is no such step.
    """
    steps = mask.shape[1]
    if not isinstance(time, int | np.integer) or not -steps <= time < steps:
        raise ValueError(f"time is {time!r}; it must be one of the {steps} steps in the traces")
    order = slice(time % steps, None, -1 if backwards else 1)
    real = mask[:, order] & mask[:, order][:, :1]
    first = np.argsort(~real, axis=1, kind="stable")[:, : real.sum(1).max(initial=0)]
    rows = np.arange(len(mask))[:, np.newaxis]
    return values[:, order][rows, first], real[rows, first]
