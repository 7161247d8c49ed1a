"""The cloud of states that a layer visits: its main directions, and units that add none to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from numbers import Real

import numpy as np
import xarray as xr

from lstm_states.nodes import by_piece, by_unit, check_finite, real_rows, select_nodes

_PAIR = {"pair_layer": str, "pair_unit": int, "pair_other": int, "correlation": float}
"""What is said of a pair of duplicates."""


def measure_principal_directions(
    traces: xr.DataTree, layer: str, *, quantity: str = "hidden"
) -> xr.Dataset:
    """Find the directions in which the states of a layer vary most (principal components).

    The units are the variables, and all real steps of all samples the observations.

    Args:
        traces: A tree from ``record_traces``.
        layer: The address of a layer.
        quantity: What varies, such as ``hidden`` or ``cell``; of ``inputs``, the dimension
            ``feature`` stands for ``unit`` in what is returned.

    Returns:
        Dataset of ``directions (direction, unit)``, of length 1 and at right angles, the one of
        most variance first, each with its largest entry positive; ``variance (direction)`` of the
        states along it (over the number of real steps less 1), and ``share (direction)`` of the
        whole variance, NaN where no unit varies by more than rounding; ``mean (unit)``; and the
        trajectories ``projection (sample, time, direction)`` (or ``row``), ``(state - mean) ·
        direction``, NaN at masked steps, and with Dask's array if the traces have such.

    Raises:
        ValueError: if the traces lack the layer or quantity, the states are no vectors, there are
            fewer than two real steps, or a state there is no number.

    Example:
        >>> main = measure_principal_directions(traces, "lstm_1").isel(direction=slice(3))
        >>> main["projection"].sel(sample=0)  # a trajectory in three dimensions
    """
    node = select_nodes(traces, quantity, [layer])[layer]
    cloud = _cloud(layer, node, quantity, ("unit", "feature"))
    axis = str(node[quantity].dims[-1])
    variance, columns = np.linalg.eigh(np.atleast_2d(cloud.covariance()))
    # eigh has the smallest first; rounding may put a variance of 0 below it.
    variance, directions = variance[::-1].clip(min=0), columns.T[::-1]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, np.newaxis], 1)
    directions = directions * np.sign(largest)
    with np.errstate(invalid="ignore"):
        share = variance / variance.sum()
    mean = xr.DataArray(cloud.mean(), dims=axis)
    found = xr.Dataset(
        {
            "directions": (("direction", axis), directions),
            "variance": ("direction", variance),
            "share": ("direction", share, {"long_name": "share of the variance explained"}),
            "mean": mean,
        },
        coords={axis: node[axis]} if axis in node.coords else {},
        attrs={"layer": layer, "quantity": quantity},
    )
    centred = node[quantity].where(node["mask"]).astype(np.float64) - mean
    return found.assign(projection=centred.dot(found["directions"], dim=axis))


def find_idle_units(
    traces: xr.DataTree,
    *,
    quantity: str = "hidden",
    dead: float = 1e-4,
    correlated: float = 0.99,
) -> xr.Dataset:
    """Find units that say nothing, and pairs of units of a layer that say the same.

    Args:
        traces: A tree from ``record_traces``.
        quantity: What of the units to look at, such as ``hidden`` or ``cell``.
        dead: A unit is dead if its variance over all real steps of all samples is at most this
            share of the mean variance of its layer's units. What varies by rounding alone has the
            variance 0.
        correlated: Two units that aren't dead are duplicates if the absolute value of their
            correlation over all real steps is above this limit.

    Returns:
        Dataset of ``variance (layer, unit)`` and ``dead (layer, unit)``, NaN and false where a
        layer has no such unit; and along ``pair`` the duplicates: ``pair_layer``, ``pair_unit`` and
        ``pair_other``, the second of the two units, with their ``correlation``, which is negative
        where one mirrors the other. The pairs with the largest absolute correlation of a layer
        come first.

    Raises:
        ValueError: if the traces lack the quantity, states are no vectors, a layer has fewer than
            two real steps or a state there that is no number, or a limit isn't in [0, 1).

    Example:
        >>> idle = find_idle_units(traces)
        >>> idle["dead"].sum("unit")  # how many of each layer
        >>> idle["pair_unit"].where(idle["pair_layer"] == "lstm", drop=True)
    """
    for name, limit in (("dead", dead), ("correlated", correlated)):
        if not isinstance(limit, Real) or not 0 <= limit < 1:
            raise ValueError(f"{name} is {limit!r}; it must be a share from 0 to below 1")
    nodes = select_nodes(traces, quantity)
    variances, silent, pairs = {}, {}, []
    for address, node in nodes.items():
        cloud = _cloud(address, node, quantity, ("unit",))
        variances[address] = cloud.variance()
        silent[address] = variances[address] <= dead * variances[address].mean()
        labels = node.get("unit", np.arange(len(variances[address])))
        alive = np.flatnonzero(~silent[address])
        for one, other, correlation in _above(cloud.correlation(alive), correlated):
            units = (int(labels[alive[n]]) for n in (one, other))
            pairs.append((address, *units, correlation))
    found = {
        "variance": by_unit(variances, nodes, np.nan),
        "dead": by_unit(silent, nodes, False),
    }
    for place, (name, kind) in enumerate(_PAIR.items()):
        found[name] = xr.DataArray(np.array([pair[place] for pair in pairs], kind), dims="pair")
    return xr.Dataset(found)


@dataclass(frozen=True)
class _Loaded:
    """A cloud of states in memory: the first of them, and how far from it each is."""

    first: np.ndarray
    moves: np.ndarray

    def mean(self) -> np.ndarray:
        return self.first + self.moves.mean(0)

    def variance(self) -> np.ndarray:
        return self.moves.var(0)

    def covariance(self) -> np.ndarray:
        return np.cov(self.moves, rowvar=False)

    def correlation(self, units: np.ndarray) -> np.ndarray:
        rows = self.moves[:, units]
        centred = rows - rows.mean(0)
        scaled = centred / np.linalg.norm(centred, axis=0)
        return scaled.T @ scaled


@dataclass(frozen=True)
class _Summed:
    """A cloud of states that are larger than memory: sums over all of them.

    ``scatter (unit, unit)`` holds the products of the distances from the ``centre``, ``largest`` of
    each unit the largest absolute state.
    """

    count: int
    first: np.ndarray
    centre: np.ndarray
    scatter: np.ndarray
    largest: np.ndarray

    def mean(self) -> np.ndarray:
        return np.where(self.scatter.diagonal() == 0, self.first, self.centre)

    def variance(self) -> np.ndarray:
        return self.scatter.diagonal() / self.count

    def covariance(self) -> np.ndarray:
        return self.scatter / (self.count - 1)

    def correlation(self, units: np.ndarray) -> np.ndarray:
        own = self.scatter[np.ix_(units, units)]
        sizes = np.sqrt(own.diagonal())
        return own / np.outer(sizes, sizes)


def _cloud(address: str, node: xr.Dataset, quantity: str, axes: Sequence[str]) -> _Loaded | _Summed:
    """Return the states at all real steps.

    A unit that varies by no more than the rounding of its largest state stays where it is.
    """
    if node.chunks:
        return _sums(address, node, quantity, axes)
    rows = real_rows(address, node, quantity, axes)
    _check_count(address, len(rows))
    check_finite(address, rows)
    rounding = np.finfo(np.result_type(rows, np.float16)).eps * np.abs(rows).max(0)
    rows = rows.astype(np.float64)
    moves = rows - rows[0]  # exactly 0 for what never varies, of which a mean would be rounded
    return _Loaded(rows[0], np.where(moves.std(0) <= rounding, 0, moves))


def _sums(address: str, node: xr.Dataset, quantity: str, axes: Sequence[str]) -> _Summed:
    """Return the sums over chunks of samples, put together as Chan et al. (1979) do."""
    sum_up = partial(_sums_of_piece, address, quantity=quantity, axes=axes)
    parts = [part for part in by_piece(sum_up, node[[quantity, "mask"]]) if part]
    _check_count(address, sum(part.count for part in parts))
    whole = reduce(_joined, parts)
    rounding = np.finfo(np.result_type(node[quantity].dtype, np.float16)).eps * whole.largest
    still = np.sqrt(whole.variance()) <= rounding
    return replace(whole, scatter=np.where(still | still[:, np.newaxis], 0, whole.scatter))


def _sums_of_piece(
    address: str, node: xr.Dataset, quantity: str, axes: Sequence[str]
) -> _Summed | None:
    rows = real_rows(address, node, quantity, axes)
    if not len(rows):
        return None
    check_finite(address, rows)
    largest = np.abs(rows).max(0)
    rows = rows.astype(np.float64)
    first = rows[0].copy()  # a view would keep all rows
    moves = rows - first
    centre = moves.mean(0)
    return _Summed(len(rows), first, first + centre, (moves - centre).T @ (moves - centre), largest)


def _joined(one: _Summed, other: _Summed) -> _Summed:
    count, apart = one.count + other.count, other.centre - one.centre
    between = np.outer(apart, apart) * (one.count * other.count / count)
    return _Summed(
        count,
        one.first,
        one.centre + apart * (other.count / count),
        one.scatter + other.scatter + between,
        np.maximum(one.largest, other.largest),
    )


def _check_count(address: str, count: int) -> None:
    if count < 2:
        raise ValueError(f"layer {address!r} has {count} real steps; a variance needs two")


def _above(correlation: np.ndarray, limit: float) -> list[tuple[int, int, float]]:
    """Return the pairs of units whose correlation is above a limit, the closest first."""
    ones, others = np.nonzero(np.triu(np.abs(correlation) > limit, 1))
    order = np.argsort(-np.abs(correlation[ones, others]), kind="stable")
    return [
        (int(a), int(b), float(correlation[a, b]))
        for a, b in zip(ones[order], others[order], strict=True)
    ]
