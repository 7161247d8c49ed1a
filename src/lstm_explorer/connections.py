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

INPUT = "the model's input"
"""Stands for it among the sources of layers."""


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
    from lstm_states.layers import check_model
    from lstm_states.traces.traced_layers import cells_of_all, supported_layers
    from lstm_states.traces.tree import describe_model

    check_model(model)
    weights = describe_model(model)["weights_sha256"]
    for version, traces in versions.items():
        if traces.attrs.get("weights_sha256") != weights:
            which = f"version {version!r} of the traces was" if version else "the traces were"
            raise ValueError(
                f"{which} recorded with other weights than model {model.name!r} has: pass the "
                "model that was recorded, as it was then, or none"
            )
    cells = cells_of_all(supported_layers(model))
    graph = _sources(model)
    # Of stacked cells, the last one gives the layer's output.
    cell_of: dict[Any, str] = {layer: address for address, (layer, _) in cells.items()}
    found: dict[str, list[dict[str, Any]]] = {address: [] for address in layers}
    for address, node in layers.items():
        if address not in cells:  # one of several calls
            continue
        layer, cell = cells[address]
        if not _is_known(cell) or not _tells_units(node, cell):
            continue
        kernel, within = (_strength(cell, name) for name in ("kernel", "recurrent_kernel"))
        own = node["unit"].values
        stack = [name for name, (one, _) in cells.items() if one is layer]
        place = stack.index(address)
        source = graph.get(layer) if type(layer).__module__.startswith("keras.") else None
        below = stack[place - 1] if place else cell_of.get(source)
        names = [str(n) for n in range(len(kernel))]
        if below is None and len(features) == len(kernel) and source == INPUT:
            names = [str(name) for name in features]
        of = "what it is given" if below is None else below
        found[address].append(_entry("from", of, kernel[:, own].T, names))
        found[address].append(_entry("from", address, within[:, own].T, range(len(within))))
        if below is not None and below in layers and _tells_units(layers[below], cells[below][1]):
            # The same weights, as the layer below sees them.
            upward = kernel[layers[below]["unit"].values]
            found[below].append(_entry("to", address, upward, range(kernel.shape[1])))
    return found


def _is_known(cell: keras.Layer) -> bool:
    """Whether a cell's weights have the layout of Keras's own: a column for each gate and unit."""
    import keras

    return type(cell) in (keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell)


def _strength(cell: keras.Layer, name: str) -> np.ndarray:
    """Return the strength of connections ``(source, unit)``."""
    values = np.asarray(getattr(cell, name), np.float64)
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


def _sources(model: keras.Model) -> dict[keras.Layer, Any]:
    """Return what layers of a graph are given, unit by unit: a recurrent layer, or ``INPUT``.

    Only of a Functional or Sequential model, and its own layers: within others nobody knows the
    way of the values. Layers that a mask or dropout alone stands before are given the same units.
    """
    import keras

    from lstm_states.layers import graph_nodes

    if not type(model).__module__.startswith("keras."):  # it may do anything with its graph
        return {}
    before: dict[Any, list[Any]] = {}
    for node in graph_nodes(model):
        given = node.arguments.args[0] if node.arguments.args else None
        tensor = given if isinstance(given, keras.KerasTensor) else None
        before.setdefault(node.operation, []).append(tensor)
    passing = (keras.layers.Dropout, keras.layers.SpatialDropout1D, keras.layers.Masking)
    recurrent = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN, keras.layers.RNN)
    found = {}
    for layer in before:
        source: Any = layer
        while source is not None:
            tensors = before.get(source, [])
            one = tensors[0] if len(tensors) == 1 else None  # of several calls, which one?
            source = None if one is None else one._keras_history.operation
            if type(source) not in passing:
                break
        if type(source) in recurrent and len(before[source]) == 1:
            found[layer] = source
        elif type(source) is keras.layers.InputLayer and len(model.inputs) == 1:
            found[layer] = INPUT
    return found
