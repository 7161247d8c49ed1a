"""What a unit is connected to: the weights that lead to it, and from it to the layer above."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    import keras

STRONGEST = 5
"""Connections that a page tells of each unit."""


def connections_of(
    model: keras.Model,
    versions: Mapping[str, xr.DataTree],
    layers: Mapping[str, xr.Dataset],
    features: Sequence[str],
) -> dict[str, list[dict[str, Any]]]:
    """Return the strongest connections of the units of each layer, as ``contract.ts`` has them.

    A connection is as strong as all its weights together, one for each gate: the root of the sum of
    their squares.

    Args:
        model: The model that was recorded.
        versions: Its recordings.
        layers: The layers to tell of, with the units that the traces hold.
        features: What the features of the model's input are called.

    Raises:
        ValueError: if a version was recorded with other weights.
    """
    # These import Keras, which takes seconds.
    from lstm_states.traces.traced_layers import cells_of_all, supported_layers
    from lstm_states.traces.tree import describe_model

    weights = describe_model(model)["weights_sha256"]
    for version, traces in versions.items():
        if traces.attrs.get("weights_sha256") != weights:
            which = f"version {version!r} of the traces was" if version else "the traces were"
            raise ValueError(
                f"{which} recorded with other weights than model {model.name!r} has: pass the "
                "model that was recorded, or none"
            )
    cells = cells_of_all(supported_layers(model))
    found: dict[str, list[dict[str, Any]]] = {address: [] for address in layers}
    for address, node in layers.items():
        if address not in cells:  # one of several calls
            continue
        layer, cell = cells[address]
        kernel, within = _strength(cell, "kernel"), _strength(cell, "recurrent_kernel")
        if kernel is None or within is None or not _tells_units(node, cell):
            continue
        own = node["unit"].values
        stack = [name for name, (one, _) in cells.items() if one is layer]
        place = stack.index(address)
        below = stack[place - 1] if place else _source(layer, cells)
        names = [str(n) for n in range(len(kernel))]
        if below is None and len(features) == len(kernel) and _reads_input(layer):
            names = [str(name) for name in features]
        of = "what it is given" if below is None else below
        found[address].append(_entry("from", of, kernel[:, own].T, names))
        found[address].append(_entry("from", address, within[:, own].T, range(len(within))))
        if below is not None and below in layers and _tells_units(layers[below], cells[below][1]):
            # The same weights, as the layer below sees them.
            upward = kernel[layers[below]["unit"].values]
            found[below].append(_entry("to", address, upward, range(kernel.shape[1])))
    return found


def _strength(cell: keras.Layer, name: str) -> np.ndarray | None:
    """Return the strength of connections ``(source, unit)``; None for a cell of another kind."""
    weights = getattr(cell, name, None)
    if weights is None or not hasattr(cell, "units") or len(weights.shape) != 2:
        return None
    values = np.asarray(weights, np.float64)
    return np.sqrt((values.reshape(len(values), -1, cell.units) ** 2).sum(1))


def _tells_units(node: xr.Dataset, cell: keras.Layer) -> bool:
    """Whether it is known which units of a layer the traces hold."""
    return "unit" in node.coords or node.sizes["unit"] == cell.units


def _entry(direction: str, of: str, strength: np.ndarray, names: Sequence[Any]) -> dict[str, Any]:
    """Return the strongest of the connections ``(unit, other)`` of each unit."""
    order = np.argsort(-strength, 1, kind="stable")[:, :STRONGEST]
    return {
        "direction": direction,
        "of": of,
        "names": [str(name) for name in names],
        "places": order.tolist(),
        "strength": [
            [float(f"{value:.3g}") for value in row]
            for row in np.take_along_axis(strength, order, 1)
        ],
    }


def _before(layer: keras.Layer) -> keras.Layer | None:
    """Return what a layer of a graph takes its input from, if that is one thing alone."""
    # A mask and initial states come after the sequence.
    tensors = [node.input_tensors[0] for node in layer._inbound_nodes if node.input_tensors]
    sources = {id(found): found for found in (own._keras_history.operation for own in tensors)}
    return next(iter(sources.values())) if len(sources) == 1 else None


def _source(layer: keras.Layer, cells: dict[str, Any]) -> str | None:
    """Return the recurrent layer whose units a layer is given, one by one; None for all else."""
    import keras

    passing = (keras.layers.Dropout, keras.layers.Masking, keras.layers.SpatialDropout1D)
    source = _before(layer)
    while isinstance(source, passing):
        source = _before(source)
    # Of stacked cells, the last one gives the layer's output.
    return next((name for name, (one, _) in reversed(cells.items()) if one is source), None)


def _reads_input(layer: keras.Layer) -> bool:
    """Whether a layer is given the model's input, as it is but for a mask."""
    import keras

    source = _before(layer)
    while isinstance(source, keras.layers.Masking):
        source = _before(source)
    return isinstance(source, keras.layers.InputLayer)
