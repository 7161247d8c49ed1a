"""What a page shows: the chosen part of the traces, and what belongs to their samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from lstm_explorer.blocks import Blocks
from lstm_explorer.connections import connections_of
from lstm_explorer.given import (
    Series,
    add_tokens,
    read_inputs,
    read_labels,
    read_names,
    read_outputs,
    read_targets,
    read_tokens,
)
from lstm_explorer.layers import (
    add_layer,
    check_alike,
    layers_to_show,
    quantities_to_show,
    vectors,
)
from lstm_states.cells import INITIAL

MOST_BYTES = 4_000_000
"""Of the arrays in a page. Compressed and as text, they take at most a third more."""

PRECISION = (
    "States and gates are rounded to 1/{levels} of the range of their unit, inputs and outputs to "
    "1/65,534 of the range of their feature."
)


@dataclass(frozen=True)
class Given:
    """What belongs to the samples beside their states, as ``explore`` takes it."""

    inputs: Any
    tokens: Any
    labels: Any
    targets: Any
    names: Any
    model: Any


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
    held = {version: layers_to_show(traces, layers) for version, traces in versions.items()}
    nodes = next(iter(held.values()))
    for version, others in held.items():
        check_alike(version, nodes, others)
    shown = quantities_to_show(nodes, quantities)
    first = next(iter(nodes.values()))
    samples, steps = first.sizes["sample"], first.sizes["time"]
    names = first["sample"].values if given.names is None else read_names(given.names, samples)
    labels = None if given.labels is None else read_labels(given.labels, samples)
    tokens = None
    if given.tokens is not None:
        tokens = read_tokens(given.inputs, given.tokens, samples, steps)
    series = _series(versions, given, samples, steps)
    # What each step wrote comes on top of what is shown.
    units = sum((len(shown[a]) + 1) * node.sizes["unit"] for a, node in nodes.items())
    bytes_each = 1 if len(versions) == 1 else 2 * len(versions)
    each = bytes_each * units * steps + sum(one.size(steps) for one in series)
    at = _sampled(samples, each)
    features = [own for one in series if one.role == "input" for own in one.features]
    connected = (
        {} if given.model is None else connections_of(given.model, versions, nodes, features)
    )
    traces = next(iter(versions.values()))
    return {
        "title": str(traces.attrs.get("model", "traces") if title is None else title),
        "versions": list(versions),
        "samples": [str(names[n]) for n in at],
        "chosen": "" if len(at) == samples else (
            f"{len(at):,} of {samples:,} samples are shown, evenly spaced: more do not fit the "
            "page. Half-lives, likeness and trajectories are those of the samples shown."
        ),
        "precision": PRECISION.format(levels="254" if len(versions) == 1 else "65,534"),
        "steps": [int(step) for step in first["time"].values],
        "layers": [
            add_layer(a, [_chosen(own[a], at) for own in held.values()], shown[a], blocks)
            | {"connections": connected.get(a, [])}
            for a in nodes
        ],
        "series": [one.add(at, blocks) for one in series],
        "tokens": None if tokens is None else add_tokens(tokens[0][at], tokens[1], blocks),
        "labels": labels and {**labels, "of": [labels["of"][n] for n in at]},
    }  # fmt: skip


def _series(
    versions: Mapping[str, xr.DataTree], given: Given, samples: int, steps: int
) -> list[Series]:
    """Return inputs, outputs and targets, where there are some."""
    series = []
    if given.inputs is not None and given.tokens is None:
        series.append(read_inputs(given.inputs, samples, steps))
    roots = {version: traces.to_dataset() for version, traces in versions.items()}
    outputs = read_outputs(roots, samples, steps)
    series += outputs
    if given.targets is not None:
        by_step = any(one.by_step for one in outputs)
        series.append(read_targets(given.targets, samples, steps, outputs_by_step=by_step))
    return series


def _sampled(samples: int, each: int) -> np.ndarray:
    """Return which samples fit into a page, evenly spaced, if each takes so many bytes."""
    if each > MOST_BYTES:
        raise ValueError(
            f"one sample takes {each:,} bytes; a page holds {MOST_BYTES:,}. Choose layers or "
            "quantities, or record a part: record_traces(..., isel={'time': slice(1000)}), "
            "outputs=False"
        )
    return np.linspace(0, samples - 1, min(samples, MOST_BYTES // each)).round().astype(int)


def _chosen(node: xr.Dataset, at: np.ndarray) -> xr.Dataset:
    """Return the chosen samples of a layer, chosen before they are read from a store."""
    known = ("mask", "edited", *(f"{INITIAL}{name}" for name in vectors(node)))
    names = [name for name in known if name in node]
    return node[[*vectors(node), *names]].isel(sample=at).load()
