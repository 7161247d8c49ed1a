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

MOST_VALUES = 3_500_000
"""Of states and gates in a page, at a byte each: as text at most 4.7 MB, however they compress."""

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
    traces: xr.DataTree,
    given: Given,
    blocks: Blocks,
    *,
    layers: Sequence[str] | str | None,
    quantities: Sequence[str] | str | None,
    title: str | None,
) -> dict[str, Any]:
    """Add the arrays of a page to ``blocks``, and return its header, as ``contract.ts`` has it.

    Raises:
        ValueError: if an argument doesn't fit the traces; it says which.
    """
    nodes = _nodes(traces, layers)
    shown = _quantities(nodes, quantities)
    first = next(iter(nodes.values()))
    part = _Part(first, sum(len(shown[a]) * nodes[a].sizes["unit"] for a in nodes))
    # Chosen before they are read: a store may hold many gigabytes.
    loaded = {a: nodes[a][["mask", *shown[a]]].isel(sample=part.at).load() for a in nodes}
    names = first["sample"].values if given.names is None else list(given.names)
    if len(names) != part.samples:
        raise ValueError(f"names has {len(names)} entries; the traces hold {part.samples} samples")
    series = {}
    if given.vocabulary is None and given.inputs is not None:
        series["inputs"] = "input", given.inputs
    for name, values in traces.to_dataset().data_vars.items():
        by_step = values.sizes.get("time") == part.steps
        if str(name).startswith("outputs") and values.ndim <= 2 + by_step:
            series[str(name)] = "output", values
    if given.targets is not None:
        series["targets"] = "target", given.targets
    return {
        "title": title or str(traces.attrs.get("model", "traces")),
        "samples": [str(names[n]) for n in part.at],
        "chosen": part.chosen,
        "precision": PRECISION,
        "steps": [int(step) for step in first["time"].values],
        "layers": [_layer(a, node, shown[a], blocks) for a, node in loaded.items()],
        "series": [_series(n, role, values, part, blocks) for n, (role, values) in series.items()],
        "tokens": None if given.vocabulary is None else _tokens(given, part, blocks),
        "labels": None if given.labels is None else _classes(given.labels, part),
    }


class _Part:
    """Which samples a page shows: as many as fit, evenly spaced, and a sentence about it."""

    def __init__(self, node: xr.Dataset, each_step: int) -> None:
        self.samples, self.steps = node.sizes["sample"], node.sizes["time"]
        each = self.steps * each_step
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
        if not node["mask"].size:
            raise ValueError(f"layer {address!r} holds no step of a sample")
    nodes = {address: held[address] for address in wanted}
    lengths = {address: node.sizes["time"] for address, node in nodes.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the layers have {lengths} steps; choose some of the same number")
    return nodes


def _quantities(
    nodes: Mapping[str, xr.Dataset], wanted: Sequence[str] | str | None
) -> dict[str, list[str]]:
    """Return what to show of each layer: by default its states and the gate that keeps them."""
    vector = ("sample", "time", "unit")
    held = {
        a: [str(n) for n, v in node.data_vars.items() if v.dims == vector]
        for a, node in nodes.items()
    }
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


def _layer(
    address: str, node: xr.Dataset, quantities: Sequence[str], blocks: Blocks
) -> dict[str, Any]:
    mask = node["mask"].values
    for name in quantities:
        if not np.isfinite(node[name].values[mask]).all():
            raise ValueError(f"layer {address!r} holds NaN or infinity in {name!r} at a real step")
    one = xr.DataTree.from_dict({"/": xr.Dataset(), address: node})
    half_lives = measure_half_lives(one)["half_life"].values[0]
    known = np.isfinite(half_lives)
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
            for name in quantities
        ],
        "mask": None if mask.all() else blocks.add_codes(mask),
        "half_life": (
            [
                float(f"{value:.4g}") if k else None
                for value, k in zip(half_lives, known, strict=True)
            ]
            if known.any()
            else None
        ),
        "alike": _alike(node[quantities[0]].values[mask]),
        "memory": _memory(node, quantities),
        "trajectory": _trajectory(one, address, quantities[0], blocks),
    }


def _memory(node: xr.Dataset, quantities: Sequence[str]) -> dict[str, str] | None:
    """Return which state a layer keeps a share of by which gate, if both are shown."""
    memory = KINDS[node.attrs["cell"]].memory
    if memory is None or not {memory.state, memory.kept} <= set(quantities):
        return None
    return {"state": memory.state, "kept": memory.kept}


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
    """Add values ``(sample, time, feature)`` or ``(sample, feature)``; the last axis may lack."""
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
    features = [str(n) for n in range(values.shape[-1])]
    if isinstance(given, xr.DataArray) and given.ndim == values.ndim:
        features = [str(label) for label in given[given.dims[-1]].values]
    block = blocks.add_numbers(values[part.at].astype(np.float64), digits=2)
    return {"name": name, "role": role, "features": features, "values": block}


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
