"""Find the recurrent layers of a model, address each cell, refuse what cannot be traced exactly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

import keras

from lstm_states.kernels.cells import find_kind, state_dims
from lstm_states.kernels.layer import cells_of
from lstm_states.layers import (
    check_model,
    graph_nodes,
    keras_class,
    own_methods,
    recurrent_layers,
)

RNN = keras.layers.RNN

Cells = dict[str, tuple[keras.layers.RNN, keras.Layer]]

Wanted: TypeAlias = Sequence[str | keras.Layer] | str | keras.Layer | None
"""Which layers are asked for: addresses, shell patterns or layers; None is all of them."""

_TAKEN = re.compile(
    r"(^(?:sample|time|unit|row|mask|chosen|outputs(?:_[^/]*)?|zarr\.json)|(?<![^/])\.\.?)(?=/|$)"
)
"""What the root of a tree or a store needs itself: a layer of such a name gets a ``_`` behind."""


class UnsupportedLayerError(ValueError):
    """A recurrent layer cannot be traced exactly; the message names the layer and the reason."""


@dataclass(frozen=True)
class TracedLayer:
    """A recurrent layer and its cells by address; a single cell has the address of the layer."""

    address: str
    layer: keras.layers.RNN
    cells: dict[str, keras.Layer]


def select_layers(model: keras.Model, patterns: Wanted) -> dict[str, TracedLayer]:
    """Return the recurrent layers to trace by address, in the order of the model.

    Args:
        model: A built model.
        patterns: Addresses or shell patterns such as ``"encoder/*"``. The address of a container (a
            nested model, a ``Bidirectional``) selects all layers in it. A layer of the model stands
            for its address. None selects every recurrent layer.

    Raises:
        UnsupportedLayerError: if a selected layer cannot be traced exactly.
        ValueError: if the model is not built, holds no recurrent layer, or a pattern matches none.
    """
    found = known_layers(model)
    if patterns is None:
        patterns = list(found)
    selected = set()
    wanted = [patterns] if isinstance(patterns, str | keras.Layer) else list(patterns)
    if not wanted:
        raise ValueError(f"layers is empty; available are {list(found)}; None selects all")
    for pattern in wanted:
        if isinstance(pattern, keras.Layer):
            inside = pattern._flatten_layers()
            matches = [a for a, layer in found.items() if any(layer is own for own in inside)]
        else:
            matches = [address for address in found if is_matched(address, pattern)]
        if not matches:
            raise ValueError(f"no recurrent layer matches {pattern!r}; available are {list(found)}")
        selected.update(matches)
    return {a: _traced(a, layer) for a, layer in found.items() if a in selected}


def supported_layers(model: keras.Model) -> dict[str, TracedLayer]:
    """Return all recurrent layers of ``model`` that can be traced, selected or not."""
    found = known_layers(model)
    return {a: _traced(a, layer) for a, layer in found.items() if not _obstacle(a, layer)}


def left_out(model: keras.Model, traced: Mapping[str, TracedLayer]) -> dict[str, str]:
    """Return why the recurrent layers of ``model`` that aren't among ``traced`` are left out."""
    rest = {a: layer for a, layer in known_layers(model).items() if a not in traced}
    return {a: _obstacle(a, layer) or "not asked for" for a, layer in rest.items()}


def cells_of_all(layers: Mapping[str, TracedLayer]) -> Cells:
    """Return the layer and the cell at the address of each cell."""
    return {a: (t.layer, cell) for t in layers.values() for a, cell in t.cells.items()}


def vector_cell(model: keras.Model, address: str) -> tuple[keras.layers.RNN, keras.Layer]:
    """Return the layer and the cell at an address, for a measure of states that are vectors.

    Raises:
        UnsupportedLayerError: if the states of the cell have more axes.
        ValueError: if the model has no cell of this address.
    """
    cells = cells_of_all(select_layers(model, None))
    if not isinstance(address, str) or address not in cells:
        raise ValueError(f"layer is {address!r}; the model has {list(cells)}")
    layer, cell = cells[address]
    if len(state_dims(cell)) > 1:
        raise UnsupportedLayerError(
            f"layer {address!r} has states with axes {state_dims(cell)}; this measure is for "
            "states that are vectors"
        )
    return layer, cell


def call_order(model: keras.Model, layer: keras.Layer, count: int) -> list[int]:
    """Return which of the ``count`` calls of ``layer``, as Keras runs them, was written first, ...

    Keras runs a functional model from its outputs' side, not in the order in which it was written.
    The calls of any other model run as they are written. Where several nested models share the
    layer, the calls inside one of them stay together, and the models are in the order they run.
    """
    places = list(_written_places(model, layer))
    if len(places) != count:
        return list(range(count))
    return sorted(range(count), key=places.__getitem__)


def _written_places(parent: keras.Layer, layer: keras.Layer) -> Iterator[tuple[int, ...]]:
    """Yield for each call of ``layer``, as Keras runs them, its place in nested graphs."""
    run = graph_nodes(parent)
    operations = list(dict.fromkeys(node.operation for node in run))
    for node in run:
        operation = node.operation
        place = operations.index(operation), operation._inbound_nodes.index(node)
        inner = [(*place, *rest) for rest in _written_places(operation, layer)]
        if not inner and isinstance(operation, keras.Layer):
            inner = [place] if layer in operation._flatten_layers() else []
        yield from inner


def known_layers(model: keras.Model) -> dict[str, keras.layers.RNN]:
    """Return all recurrent layers of ``model`` by address."""
    check_model(model)
    if not model.built:
        raise ValueError(
            f"model {model.name!r} has no weights yet; give it a keras.Input or call it once"
        )
    found: dict[str, keras.layers.RNN] = {}
    for name, layer in recurrent_layers(model):
        address = _TAKEN.sub(r"\1_", name)
        if address in found:
            raise UnsupportedLayerError(
                f"two layers have the address {address!r}; give them different names"
            )
        found[address] = layer
    if not found:
        raise ValueError(f"model {model.name!r} holds no recurrent layer")
    return found


def is_matched(address: str, pattern: str) -> bool:
    """Tell whether a pattern selects an address, or a container of it."""
    parts = address.split("/")
    holding = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    return pattern in holding or any(fnmatchcase(name, pattern) for name in holding)


def _traced(address: str, layer: keras.layers.RNN) -> TracedLayer:
    if obstacle := _obstacle(address, layer):
        raise UnsupportedLayerError(
            f"layer {address!r} can't be traced exactly: {obstacle}. "
            "Exclude it from record_traces with layers=[...]"
        )
    return TracedLayer(address, layer, _named_cells(address, layer))


def _named_cells(address: str, layer: keras.layers.RNN) -> dict[str, keras.Layer]:
    if not isinstance(layer.cell, keras.layers.StackedRNNCells):
        return {address: layer.cell}
    return {f"{address}/{cell.name}": cell for cell in cells_of(layer)}


def _obstacle(address: str, layer: keras.layers.RNN) -> str | None:
    """Return why ``layer`` can't be traced exactly; None if it can."""
    if "inner_loop" in own_methods(layer, keras_class(layer)):
        return f"this {type(layer).__name__} overrides inner_loop"
    stacked = isinstance(layer.cell, keras.layers.StackedRNNCells)
    if stacked and (own := own_methods(layer.cell, keras.layers.StackedRNNCells)):
        return f"its {type(layer.cell).__name__} overrides {own[0]}"
    cells = cells_of(layer)
    for cell in cells:
        if find_kind(cell) is None:
            return (
                f"its cell is a {type(cell).__name__}; supported are Keras layers with one to four "
                "state vectors of equal width, flat lists of such cells, and the cells of "
                "Keras's ConvLSTM"
            )
    if len(_named_cells(address, layer)) < len(cells):
        return "two of its cells have the same name; rename one of them"
    return None
