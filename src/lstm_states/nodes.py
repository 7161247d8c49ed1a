"""The layers of a tree of traces, as the measures of their states take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import xarray as xr

from lstm_states.cells import layers_of

Found = TypeVar("Found")

_NO_VALUES = ("mask", "edited")
"""Variables with steps that say something about the values, and are none."""


def state_nodes(traces: xr.DataTree) -> dict[str, xr.Dataset]:
    """Return what a tree holds of each layer.

    Raises:
        ValueError: if it holds derivatives.
    """
    if "derivatives" in traces.attrs:
        raise ValueError("traces holds derivatives, which are no states")
    return layers_of(traces)


def tree_of(address: str, node: xr.Dataset) -> xr.DataTree:
    """Return a tree that holds one layer, for measures that take trees."""
    return xr.DataTree.from_dict({"/": xr.Dataset(), address: node})


def select_nodes(
    traces: xr.DataTree, quantity: str, layers: Sequence[str] | str | None = None
) -> dict[str, xr.Dataset]:
    """Return what a tree holds of some layers, all of which hold ``quantity``.

    Args:
        traces: A tree from ``record_traces``.
        quantity: The name of a quantity with steps.
        layers: The addresses of layers, one or several; None is all.

    Raises:
        ValueError: naming the layer or the quantity that the tree doesn't hold.
    """
    nodes = state_nodes(traces)
    wanted = list(nodes) if layers is None else layers
    wanted = [wanted] if isinstance(wanted, str) or not np.iterable(wanted) else list(wanted)
    if not wanted:
        raise ValueError(f"layers is {layers!r}; it must name some of {list(nodes)}")
    for address in wanted:
        if not isinstance(address, str) or address not in nodes:
            raise ValueError(f"layer is {address!r}; the traces hold {list(nodes)}")
        node = nodes[address]
        held = [n for n, v in node.data_vars.items() if "time" in v.dims and n not in _NO_VALUES]
        if quantity not in held:
            raise ValueError(f"layer {address!r} has no {quantity!r}, but {held}")
    return {address: nodes[address] for address in wanted}


def by_piece(function: Callable[[xr.Dataset], Found], node: xr.Dataset) -> list[Found]:
    """Return what a function makes of a node, or of each of its chunks of samples, in their order.

    Args:
        function: Makes of loaded samples something small. Dask's workers may call it.
        node: What a tree holds of a layer; with Dask's arrays, some chunks are loaded at a time.
    """
    if not node.chunks:
        return [function(node)]
    import dask

    dim = node["mask"].dims[0]
    ends = np.cumsum(node.chunks[dim])
    pieces = [
        node.isel({dim: slice(end - size, end)})
        for end, size in zip(ends, node.chunks[dim], strict=True)
    ]
    return list(dask.compute(*(dask.delayed(function)(piece) for piece in pieces)))


def real_rows(
    address: str, node: xr.Dataset, quantity: str, axes: Sequence[str] = ("unit", "feature")
) -> np.ndarray:
    """Return a quantity at all real steps, ``(step, unit)``, sample after sample.

    Args:
        address: The layer.
        node: What a tree holds of it.
        quantity: What to return.
        axes: The axis behind the steps is one of these: ``feature`` is that of ``inputs``.

    Raises:
        ValueError: if it has other axes.
    """
    check_vectors(address, node, quantity, axes)
    return node[quantity].values[node["mask"].values]


def check_vectors(address: str, node: xr.Dataset, quantity: str, axes: Sequence[str]) -> None:
    """Refuse a quantity that has other axes behind its steps than one of ``axes``."""
    behind = node[quantity].dims[2:]
    if len(behind) != 1 or behind[0] not in axes:
        raise ValueError(
            f"layer {address!r} has {quantity!r} with axes {behind}; this measure is for vectors "
            f"of {' or '.join(f'{axis}s' for axis in axes)}"
        )


def check_finite(address: str, rows: np.ndarray) -> None:
    """Refuse values at real steps of which a measure would make nonsense."""
    if not np.isfinite(rows).all():
        raise ValueError(f"layer {address!r} holds NaN or infinity at real steps")


def by_unit(
    found: Mapping[str, np.ndarray], nodes: Mapping[str, xr.Dataset], missing: float | bool
) -> xr.DataArray:
    """Lay out values ``(unit,)`` by layer as ``(layer, unit)``.

    Args:
        found: By the address of a layer.
        nodes: The layers, which may hold selected units.
        missing: What stands where a layer has no such unit.
    """
    rows = {}
    for address, values in found.items():
        units = nodes[address].get("unit", np.arange(len(values)))
        rows[address] = xr.DataArray(values, {"unit": np.asarray(units)}, "unit")
    layers = xr.DataArray(list(rows), dims="layer", name="layer")
    return xr.concat(rows.values(), layers, join="outer", fill_value=missing)
