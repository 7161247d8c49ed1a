"""What a page holds of a layer, in one version or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from lstm_explorer.blocks import Blocks
from lstm_states.cells import INITIAL, KINDS
from lstm_states.geometry import measure_principal_directions
from lstm_states.nodes import state_nodes, tree_of
from lstm_states.summary import measure_half_lives

DIRECTIONS = 2
"""Along which a page shows trajectories, those of most variance."""


def layers_to_show(
    traces: xr.DataTree, layers: Sequence[str] | str | None
) -> dict[str, xr.Dataset]:
    """Return the layers to show, which have the same samples and steps.

    Raises:
        ValueError: naming the layer that the tree doesn't hold, or that has no place in a page.
    """
    held = state_nodes(traces)
    known = list(held)
    for address in (wanted := _named("layers", layers, known)):
        node = held[address]
        if "mask" not in node or "cell" not in node.attrs:
            raise ValueError(f"{address!r} is no layer of a tree of record_traces")
        if "row" in node.dims:
            raise ValueError(
                f"layer {address!r} received other rows than the samples, so it has no place "
                f"beside the others; choose layers of {known}"
            )
        if not {"sample", "time"} <= set(node["mask"].dims):
            raise ValueError(
                f"layer {address!r} has lost its dimension sample or time; select with a list, "
                "such as isel(sample=[0])"
            )
        if not node.sizes.get("unit", 1):
            raise ValueError(f"layer {address!r} holds no unit")
        if not vectors(node):
            raise ValueError(
                f"layer {address!r} has states that are no vectors; choose layers of {known}"
            )
        if not node["mask"].values.any():
            raise ValueError(f"layer {address!r} holds no real step")
    lengths = {address: held[address].sizes["time"] for address in wanted}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the layers have {lengths} steps; choose some of the same number")
    return {address: held[address] for address in wanted}


def vectors(node: xr.Dataset) -> list[str]:
    """Return the quantities of a layer that are a vector of its units at each step."""
    return [str(n) for n, v in node.data_vars.items() if v.dims == ("sample", "time", "unit")]


def quantities_to_show(
    nodes: Mapping[str, xr.Dataset], wanted: Sequence[str] | str | None
) -> dict[str, list[str]]:
    """Return what to show of each layer: by default its states and the gate that keeps them.

    Raises:
        ValueError: if no layer holds a quantity that was asked for, or a layer holds none of them.
    """
    held = {address: vectors(node) for address, node in nodes.items()}
    known = list(dict.fromkeys(name for names in held.values() for name in names))
    asked = _named("quantities", wanted, known)
    shown = {}
    for address, node in nodes.items():
        kind = KINDS[node.attrs["cell"]]
        default = [*kind.states, *([kind.memory.kept] if kind.memory else [])]
        names = default if wanted is None else asked
        shown[address] = [name for name in names if name in held[address]]
        if not shown[address]:
            raise ValueError(
                f"layer {address!r} holds none of {names}, but {held[address]}; choose others with "
                "layers and quantities"
            )
    return shown


def _named(argument: str, wanted: Any, known: Sequence[str]) -> list[str]:
    """Return the names that an argument gives, each once; all that are known if it is None."""
    if wanted is None:
        return list(known)
    names = [wanted] if isinstance(wanted, str) else list(wanted) if np.iterable(wanted) else []
    if not names or any(not isinstance(name, str) or name not in known for name in names):
        raise ValueError(f"{argument} is {wanted!r}; it must name some of {list(known)}")
    return list(dict.fromkeys(names))


def check_alike(
    version: str, nodes: Mapping[str, xr.Dataset], others: Mapping[str, xr.Dataset]
) -> None:
    """Refuse a version that can't stand in the place of the first, step by step."""
    for address, node in nodes.items():
        other = others.get(address)
        if other is None:
            raise ValueError(f"version {version!r} of the traces has no layer {address!r}")
        for dim in ("sample", "time", "unit"):
            if not np.array_equal(node[dim], other[dim]):
                raise ValueError(
                    f"version {version!r} of the traces has another {dim} than the first at layer "
                    f"{address!r}: all must be of the same samples, layers and steps"
                )
        for name in ("cell", "go_backwards"):
            if node.attrs[name] != other.attrs[name]:
                raise ValueError(
                    f"version {version!r} of the traces has {name} {other.attrs[name]!r} at layer "
                    f"{address!r}, the first one {node.attrs[name]!r}"
                )
        if missing := [name for name in vectors(node) if name not in other]:
            raise ValueError(f"version {version!r} of the traces lacks {missing} of {address!r}")
        if not np.array_equal(node["mask"], other["mask"]):
            raise ValueError(
                f"version {version!r} of the traces masks other steps than the first at layer "
                f"{address!r}"
            )


def add_layer(
    address: str, versions: Sequence[xr.Dataset], names: Sequence[str], blocks: Blocks
) -> dict[str, Any]:
    """Add what a page holds of a layer.

    Args:
        address: The layer.
        versions: The chosen samples of each version.
        names: The quantities to show.
        blocks: Where they go.

    Raises:
        ValueError: if a quantity holds what is no number at a real step.
    """
    first = versions[0]
    mask = first["mask"].values
    for node in versions:
        for name in names:
            if not np.isfinite(node[name].values[mask]).all():
                raise ValueError(
                    f"layer {address!r} holds NaN or infinity in {name!r} at a real step"
                )
    lives = [_half_lives(address, node) for node in versions]
    digits = 1 if len(versions) == 1 else 2  # versions are subtracted: little is left
    return {
        "address": address,
        "kind": first.attrs["cell"],
        "backwards": bool(first.attrs["go_backwards"]),
        "units": [int(unit) for unit in first["unit"].values],
        "quantities": [
            {
                "name": name,
                "long_name": str(first[name].attrs.get("long_name", name)),
                "values": blocks.add_numbers(
                    *(node[name].values for node in versions), digits=digits
                ),
            }
            for name in names
        ],
        "mask": None if mask.all() else blocks.add_codes(mask),
        "half_life": None if all(np.isnan(own).all() for own in lives) else list(map(_told, lives)),
        "by_memory": np.argsort(-np.nan_to_num(lives[0], nan=-1.0), kind="stable").tolist(),
        "alike": _alike(first[names[0]].values[mask]),
        "memory": _memory(versions, names, blocks),
        "trajectory": _trajectory(versions, names[0], blocks),
    }


def _half_lives(address: str, node: xr.Dataset) -> np.ndarray:
    return measure_half_lives(tree_of(address, node))["half_life"].values[0]


def _told(lives: np.ndarray) -> list[float | str | None]:
    """Return half-lives as JSON can tell them."""
    return [
        None if np.isnan(life) else "never" if np.isinf(life) else float(f"{life:.4g}")
        for life in lives
    ]


def _memory(
    versions: Sequence[xr.Dataset], names: Sequence[str], blocks: Blocks
) -> dict[str, Any] | None:
    """Add what each step writes into the state that a gate keeps; None where that is unknown.

    It could be told from the state and the gate, but not from their rounded values.
    """
    memory = KINDS[versions[0].attrs["cell"]].memory
    if memory is None or not {memory.state, memory.kept} <= set(names):
        return None
    written = [_written(node) for node in versions]
    if any(own is None for own in written):
        return None
    values = [own for own in written if own is not None]
    return {"state": memory.state, "kept": memory.kept, "written": blocks.add_numbers(*values)}


def _written(node: xr.Dataset) -> np.ndarray | None:
    """Return what each step wrote, ``(sample, time, unit)``, and what an edit set; or None.

    None if the traces lack a gate, or steps between: then the state isn't what the step before
    left of it and what the step wrote. A tree from which steps were taken doesn't tell: the
    equation does, where it holds at all.
    """
    memory = KINDS[node.attrs["cell"]].memory
    assert memory is not None
    values = {name: node[name].values.astype(np.float64) for name in vectors(node)}
    try:
        written = memory.written(values)
    except KeyError:
        return None
    state, kept = values[memory.state], values[memory.kept]
    turn = slice(None, None, -1 if node.attrs["go_backwards"] else 1)
    start = node.get(f"{INITIAL}{memory.state}")
    initial = np.zeros_like(state[:, 0]) if start is None else start.values
    before = np.concatenate([initial[:, np.newaxis], state[:, turn][:, :-1]], 1)[:, turn]
    rest = state - kept * before
    mask = node["mask"].values[..., np.newaxis]
    size = np.abs(np.where(mask, state, 0)).max((0, 1))
    holds = np.abs(rest - written) <= 1e-3 * size
    edited = np.zeros_like(mask)
    if "edited" in node:
        edited = node["edited"].values[..., np.newaxis]
    # The first step may be the first that was kept, after others.
    later = mask & (np.arange(mask.shape[1])[turn] > 0)[:, np.newaxis]
    unknown = (np.where(later, ~edited, edited) & mask & ~holds).any()
    if unknown or (later.any() and not (later & holds).any((0, 1)).all()):
        return None
    return np.where(edited, rest, written)


def _trajectory(
    versions: Sequence[xr.Dataset], quantity: str, blocks: Blocks
) -> dict[str, Any] | None:
    """Add the paths of a quantity along its first directions; None where it doesn't move."""
    node = xr.concat([one[["mask", quantity]] for one in versions], "sample")
    values = node[quantity].astype(np.float64)
    peak = float(np.abs(values.values[node["mask"].values]).max())
    if node["mask"].values.sum() < 2 or peak == 0:
        return None
    # Squares of very large or small states are no numbers.
    tree = tree_of("layer", node.assign({quantity: values / peak}))
    found = measure_principal_directions(tree, "layer", quantity=quantity)
    main = found.isel(direction=slice(DIRECTIONS))
    if not np.isfinite(main["share"].values).all():
        return None
    paths = np.split(main["projection"].values * peak, len(versions))
    return {
        "quantity": quantity,
        "share": [float(f"{share:.4g}") for share in main["share"].values],
        "values": blocks.add_numbers(*paths),
    }


def _alike(rows: np.ndarray) -> list[int]:
    """Order units, the columns of ``rows (step, unit)``, so that those that move alike are near.

    Spectral seriation (Atkins, Boman and Hendrickson 1998): along the eigenvector of the second
    smallest eigenvalue of the Laplacian of their similarity, here (1 + correlation) / 2.
    """
    units = rows.shape[1]
    if units < 3:
        return list(range(units))
    centred = rows.astype(np.float64)
    centred /= np.abs(centred).max() or 1.0
    centred -= centred.mean(0)
    sizes = np.sqrt((centred**2).sum(0))
    centred /= np.where(sizes > 0, sizes, 1.0)
    similarity = (1 + centred.T @ centred) / 2
    _, directions = np.linalg.eigh(np.diag(similarity.sum(0)) - similarity)
    place = directions[:, 1]
    # An eigenvector has no sign of its own.
    place = place * (-1 if place[np.abs(place).argmax()] < 0 else 1)
    return [int(n) for n in np.argsort(place.round(9), kind="stable")]
