"""What a page shows: the chosen part of the traces, and what belongs to their samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from lstm_explorer.blocks import NOTHING, Blocks
from lstm_states.cells import KINDS
from lstm_states.geometry import measure_principal_directions
from lstm_states.nodes import state_nodes
from lstm_states.summary import measure_half_lives

MOST_VALUES = 4_000_000
"""Of states and gates in a page, at a byte each: compressed and as text, about as many bytes."""

DIRECTIONS = 3
"""Along which a page shows trajectories, those of most variance."""

PRECISION = (
    "States and gates are rounded to 1/254 of their range, inputs and outputs to 1/65,534 of theirs"
)


@dataclass(frozen=True)
class Given:
    """What belongs to the samples beside their states, as :func:`write_explorer` takes it."""

    inputs: Any
    vocabulary: Sequence[str] | None
    labels: Any
    targets: Any
    names: Sequence[str] | None


def fill(
    versions: Mapping[str, xr.DataTree],
    given: Given,
    blocks: Blocks,
    *,
    layers: Sequence[str] | str | None,
    quantities: Sequence[str] | str | None,
    title: str | None,
) -> dict[str, Any]:
    """Add the arrays of a page to ``blocks``, and return its header, as ``contract.ts`` has it.

    Args:
        versions: Traces of the same samples, by what tells them apart.
        given: What belongs to the samples.
        blocks: Where arrays go.
        layers: Addresses; None is all.
        quantities: Of each layer; None is its states, and the gate that keeps them.
        title: Of the page; None is the model's name.

    Raises:
        ValueError: if an argument doesn't fit the traces; it says which.
    """
    held = {version: _nodes(traces, layers) for version, traces in versions.items()}
    nodes = next(iter(held.values()))
    for version, others in held.items():
        _check_alike(version, nodes, others)
    shown = _quantities(nodes, quantities)
    first = next(iter(nodes.values()))
    # What each step wrote comes on top.
    units = sum((len(shown[a]) + 1) * node.sizes["unit"] for a, node in nodes.items())
    part = _Part(first, units, list(versions))
    names = first["sample"].values if given.names is None else list(given.names)
    if len(names) != part.samples:
        raise ValueError(f"names has {len(names)} entries; the traces hold {part.samples} samples")
    series: dict[str, tuple[str, Any]] = {}
    if given.vocabulary is None and given.inputs is not None:
        series["inputs"] = "input", given.inputs
    roots = [traces.to_dataset() for traces in versions.values()]
    for name, values in roots[0].data_vars.items():
        by_step = values.sizes.get("time") == part.steps
        if str(name).startswith("outputs") and values.ndim <= 2 + by_step:
            series[str(name)] = "output", [root.get(name) for root in roots]
    if given.targets is not None:
        series["targets"] = "target", given.targets
    model = str(versions[part.versions[0]].attrs.get("model", "traces"))
    return {
        "title": title or model,
        "versions": part.versions,
        "samples": [str(names[n]) for n in part.at],
        "chosen": part.chosen,
        "precision": PRECISION,
        "steps": [int(step) for step in first["time"].values],
        "layers": [
            _layer(a, part.load([own[a] for own in held.values()]), shown[a], part, blocks)
            for a in nodes
        ],
        "series": [_series(n, role, values, part, blocks) for n, (role, values) in series.items()],
        "tokens": None if given.vocabulary is None else _tokens(given, part, blocks),
        "labels": None if given.labels is None else _classes(given.labels, part),
    }


class _Part:
    """Which samples a page shows of each version: as many as fit, evenly spaced."""

    def __init__(self, node: xr.Dataset, units: int, versions: list[str]) -> None:
        self.versions, self.samples = versions, node.sizes["sample"]
        self.steps = node.sizes["time"]
        each = self.steps * units * len(versions)
        if each > MOST_VALUES:
            raise ValueError(
                f"one sample has {each:,} values; a page holds {MOST_VALUES:,}. Choose quantities "
                "or layers, or a part of the traces: traces.isel(time=slice(0, 1000))"
            )
        most = min(self.samples, MOST_VALUES // each)
        self.at = np.linspace(0, self.samples - 1, most).round().astype(int)
        self.chosen = ""
        if most < self.samples:
            self.chosen = (
                f"{most:,} of {self.samples:,} samples are shown, evenly spaced: more do not fit "
                "the page"
            )

    def load(self, nodes: Sequence[xr.Dataset]) -> xr.Dataset:
        """Return the chosen samples of a layer, those of one version after those of another.

        They are chosen before they are read: a store may hold many gigabytes.
        """
        names = ["mask", *_vectors(nodes[0])]
        read = [node[names].isel(sample=self.at).load() for node in nodes]
        return xr.concat(read, "sample", combine_attrs="override")


def _nodes(traces: xr.DataTree, layers: Sequence[str] | str | None) -> dict[str, xr.Dataset]:
    """Return the layers to show, which have the same samples and steps."""
    held = state_nodes(traces)
    wanted = list(held) if layers is None else [layers] if isinstance(layers, str) else layers
    if not wanted:
        raise ValueError(f"layers is {layers!r}; it must name some of {list(held)}")
    for address in wanted:
        if address not in held:
            raise ValueError(f"layers names {address!r}; the traces hold {list(held)}")
        node = held[address]
        if "row" in node.dims:
            raise ValueError(
                f"layer {address!r} received other rows than the samples, so it has no place "
                f"beside the others; choose layers of {list(held)}"
            )
        if "unit" not in node.dims:
            raise ValueError(
                f"layer {address!r} has states that are no vectors; choose layers of {list(held)}"
            )
        if not node["mask"].values.any():
            raise ValueError(f"layer {address!r} holds no real step")
    nodes = {address: held[address] for address in wanted}
    lengths = {address: node.sizes["time"] for address, node in nodes.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the layers have {lengths} steps; choose some of the same number")
    return nodes


def _check_alike(
    version: str, nodes: Mapping[str, xr.Dataset], others: Mapping[str, xr.Dataset]
) -> None:
    """Refuse a version that can't stand in the place of the first, step by step."""
    for address, node in nodes.items():
        other = others.get(address, xr.Dataset())
        for dim in ("sample", "time", "unit"):
            if not np.array_equal(node[dim], other[dim] if dim in other.dims else ()):
                raise ValueError(
                    f"version {version!r} of the traces has another {dim} than the first at layer "
                    f"{address!r}: all must be of the same samples, layers and steps"
                )
        if missing := [name for name in _vectors(node) if name not in other]:
            raise ValueError(f"version {version!r} of the traces lacks {missing} of {address!r}")


def _quantities(
    nodes: Mapping[str, xr.Dataset], wanted: Sequence[str] | str | None
) -> dict[str, list[str]]:
    """Return what to show of each layer: by default its states and the gate that keeps them."""
    held = {address: _vectors(node) for address, node in nodes.items()}
    known = list(dict.fromkeys(name for names in held.values() for name in names))
    asked = [wanted] if isinstance(wanted, str) else wanted
    if asked is not None and (not asked or any(name not in known for name in asked)):
        raise ValueError(f"quantities is {wanted!r}; it must name some of {known}")
    shown = {}
    for address, node in nodes.items():
        kind = KINDS[node.attrs["cell"]]
        default = [*kind.states, *([kind.memory.kept] if kind.memory else [])]
        names = default if asked is None else asked
        shown[address] = [name for name in names if name in held[address]]
        if not shown[address]:
            raise ValueError(
                f"layer {address!r} holds none of {list(names)}, but {held[address]}; choose "
                "others with layers and quantities"
            )
    return shown


def _vectors(node: xr.Dataset) -> list[str]:
    """Return the quantities of a layer that are a vector of its units at each step."""
    return [str(n) for n, v in node.data_vars.items() if v.dims == ("sample", "time", "unit")]


def _layer(
    address: str, node: xr.Dataset, names: Sequence[str], part: _Part, blocks: Blocks
) -> dict[str, Any]:
    mask = node["mask"].values
    for name in names:
        if not np.isfinite(node[name].values[mask]).all():
            raise ValueError(f"layer {address!r} holds NaN or infinity in {name!r} at a real step")
    whole = xr.DataTree.from_dict({"/": xr.Dataset(), address: node})
    return {
        "address": address,
        "kind": node.attrs["cell"],
        "backwards": bool(node.attrs["go_backwards"]),
        "units": [int(unit) for unit in node["unit"].values],
        "quantities": [
            {
                "name": name,
                "long_name": str(node[name].attrs.get("long_name", name)),
                "values": blocks.add_numbers(node[name].values),
            }
            for name in names
        ],
        "mask": None if mask.all() else blocks.add_codes(mask),
        "half_life": _half_lives(address, node, part),
        "alike": _alike(node[names[0]].values[mask]),
        "memory": _memory(node, names, blocks),
        "trajectory": _trajectory(whole, address, names[0], blocks),
    }


def _half_lives(address: str, node: xr.Dataset, part: _Part) -> list[list[float | None]] | None:
    """Return the half-life of each unit by version; None where all are unknown or infinite."""
    found = []
    for version in np.split(np.arange(node.sizes["sample"]), len(part.versions)):
        own = xr.DataTree.from_dict({"/": xr.Dataset(), address: node.isel(sample=version)})
        lives = measure_half_lives(own)["half_life"].values[0]
        found.append([float(f"{life:.4g}") if np.isfinite(life) else None for life in lives])
    return found if any(life is not None for lives in found for life in lives) else None


def _memory(node: xr.Dataset, names: Sequence[str], blocks: Blocks) -> dict[str, Any] | None:
    """Add what each step writes into the state that a gate keeps; None where that is unknown.

    It could be told from the state and the gate, but not from their rounded values.
    """
    memory = KINDS[node.attrs["cell"]].memory
    whole = bool(np.all(np.diff(node["time"]) == 1))
    if memory is None or not whole or not {memory.state, memory.kept} <= set(names):
        return None
    try:
        written = memory.written({name: node[name].values for name in _vectors(node)})
    except KeyError:  # recorded without the gates
        return None
    return {"state": memory.state, "kept": memory.kept, "written": blocks.add_numbers(written)}


def _trajectory(
    traces: xr.DataTree, address: str, quantity: str, blocks: Blocks
) -> dict[str, Any] | None:
    """Add the paths of a quantity along its first directions; None where it doesn't move."""
    node = traces[address].to_dataset()
    if np.ptp(node[quantity].values[node["mask"].values], axis=0).max() == 0:
        return None
    found = measure_principal_directions(traces, address, quantity=quantity)
    first = found.isel(direction=slice(DIRECTIONS))
    return {
        "quantity": quantity,
        "share": [float(f"{share:.4g}") for share in first["share"].values],
        "values": blocks.add_numbers(first["projection"].values),
    }


def _alike(rows: np.ndarray) -> list[int]:
    """Order units, the columns of ``rows (step, unit)``, so that those that move alike are near.

    Spectral seriation (Atkins, Boman and Hendrickson 1998): along the eigenvector of the second
    smallest eigenvalue of the Laplacian of their similarity, here (1 + correlation) / 2.
    """
    units = rows.shape[1]
    if units < 3:
        return list(range(units))
    centred = rows.astype(np.float64) - rows.mean(0, dtype=np.float64)
    sizes = np.sqrt((centred**2).sum(0))
    correlation = centred.T @ centred / np.maximum(np.outer(sizes, sizes), np.finfo(float).tiny)
    similarity = (1 + correlation) / 2
    _, vectors = np.linalg.eigh(np.diag(similarity.sum(0)) - similarity)
    place = vectors[:, 1]
    # An eigenvector has no sign of its own.
    place = place * (-1 if place[np.abs(place).argmax()] < 0 else 1)
    return [int(n) for n in np.argsort(place.round(9), kind="stable")]


def _series(name: str, role: str, given: Any, part: _Part, blocks: Blocks) -> dict[str, Any]:
    """Add values ``(sample, time, feature)`` or ``(sample, feature)``; the last axis may lack.

    Args:
        name: Of the series.
        role: input, output or target.
        given: The values; of outputs a list, an entry for each version.
        part: Which samples to take.
        blocks: Where they go.
    """
    versions = given if role == "output" else [given]
    chosen = [_numbers(name, values, part) for values in versions]
    features = [str(n) for n in range(chosen[0].shape[-1])]
    first = versions[0]
    if isinstance(first, xr.DataArray) and first.ndim == chosen[0].ndim:
        features = [str(label) for label in first[first.dims[-1]].values]
    block = blocks.add_numbers(np.concatenate(chosen), digits=2)
    return {"name": name, "role": role, "features": features, "values": block}


def _numbers(name: str, given: Any, part: _Part) -> np.ndarray:
    """Return the values of the chosen samples, with the last axis."""
    values = np.asarray(given)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {values.dtype} values; they must be real numbers")
    whole = values.shape
    if isinstance(given, xr.DataArray):
        by_step = "time" in given.dims
    else:
        by_step = values.ndim > 1 and values.shape[1] == part.steps
    if values.ndim == 1 + by_step:
        values = values[..., np.newaxis]
    if values.ndim != 2 + by_step or values.shape[0] != part.samples or not values.shape[-1]:
        raise ValueError(
            f"{name} has shape {whole}; it must be ({part.samples}, {part.steps}, feature) or "
            f"({part.samples}, feature)"
        )
    return values[part.at].astype(np.float64)


def _tokens(given: Given, part: _Part, blocks: Blocks) -> dict[str, Any]:
    words = [str(word) for word in given.vocabulary or ()]
    codes, shape = np.asarray(given.inputs), (part.samples, part.steps)
    if codes.shape != shape or codes.dtype.kind not in "iu":
        raise ValueError(
            f"inputs has shape {codes.shape} of {codes.dtype}; with tokens, it must hold places in "
            f"them, whole numbers of shape {shape}"
        )
    if not words or codes.min() < 0 or codes.max() >= len(words):
        raise ValueError(
            f"inputs holds places {codes.min()} to {codes.max()} in tokens, which has {len(words)}"
        )
    if len(words) > NOTHING[2]:
        raise ValueError(f"tokens has {len(words):,} words; a page holds {NOTHING[2]:,}")
    # Only the words that occur: a vocabulary may be larger than all the rest.
    used, own = np.unique(codes[part.at], return_inverse=True)
    block = blocks.add_codes(own.reshape(-1, part.steps), digits=2)
    return {"vocabulary": [words[n] for n in used], "codes": block}


def _classes(labels: Any, part: _Part) -> dict[str, Any]:
    own = np.asarray(labels)
    if own.shape != (part.samples,):
        raise ValueError(f"labels has shape {own.shape}; it must be ({part.samples},)")
    classes, of = np.unique(own, return_inverse=True)
    return {"classes": [str(name) for name in classes], "of": [int(n) for n in of[part.at]]}
