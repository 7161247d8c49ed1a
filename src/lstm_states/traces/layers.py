"""Find the recurrent layers of a model, give each cell its address, refuse what isn't exact."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase

import keras

from lstm_states.kernels.cells import cell_kind
from lstm_states.kernels.layer import cells_of
from lstm_states.layers import recurrent_layers

RNN = keras.layers.RNN

Cells = dict[str, tuple[keras.layers.RNN, keras.Layer]]


class UnsupportedLayerError(ValueError):
    """A recurrent layer that can't be traced exactly; names the layer and the reason."""


@dataclass(frozen=True)
class TracedLayer:
    """A recurrent layer and its cells by address; one cell has the address of the layer."""

    address: str
    layer: keras.layers.RNN
    cells: dict[str, keras.Layer]


def select_layers(
    model: keras.Model, patterns: Sequence[str] | str | None
) -> dict[str, TracedLayer]:
    """Return the recurrent layers to trace by address, in the order the model holds them.

    Args:
        model: A built model.
        patterns: Addresses or shell patterns such as ``"encoder/*"``; the address of what holds
            layers (a nested model, a ``Bidirectional``) selects all of them. None selects every
            recurrent layer.

    Raises:
        UnsupportedLayerError: if a selected layer can't be traced exactly.
        ValueError: if the model isn't built, holds no recurrent layer, or a pattern matches none.
    """
    found = _find_layers(model)
    if patterns is None:
        patterns = list(found)
    selected = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        matches = [address for address in found if _matches(address, pattern)]
        if not matches:
            raise ValueError(f"no recurrent layer matches {pattern!r}; there are {list(found)}")
        selected.update(matches)
    return {a: _traced(a, layer) for a, layer in found.items() if a in selected}


def supported_layers(model: keras.Model) -> dict[str, TracedLayer]:
    """Return all recurrent layers of ``model`` that can be traced, selected or not."""
    supported = {}
    for address, layer in _find_layers(model).items():
        with suppress(UnsupportedLayerError):
            supported[address] = _traced(address, layer)
    return supported


def cells_of_all(layers: Mapping[str, TracedLayer]) -> Cells:
    """Return the layer and the cell at the address of each cell."""
    return {a: (t.layer, cell) for t in layers.values() for a, cell in t.cells.items()}


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
    by_depth = getattr(getattr(parent, "_functional", parent), "_nodes_by_depth", {})
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    run = [node for node in nodes if not node.is_input]
    operations = list(dict.fromkeys(node.operation for node in run))
    for node in run:
        operation = node.operation
        place = operations.index(operation), operation._inbound_nodes.index(node)
        inner = [(*place, *rest) for rest in _written_places(operation, layer)]
        if not inner and isinstance(operation, keras.Layer):
            inner = [place] if layer in operation._flatten_layers() else []
        yield from inner


def _find_layers(model: keras.Model) -> dict[str, keras.layers.RNN]:
    if not model.built:
        raise ValueError(
            f"model {model.name!r} has no weights yet; give it a keras.Input or call it once"
        )
    found: dict[str, keras.layers.RNN] = {}
    for address, layer in recurrent_layers(model):
        if address in found:
            raise UnsupportedLayerError(
                f"two layers have the address {address!r}; give them names that differ"
            )
        if re.match(r"(mask|chosen|outputs\w*)(/|$)", address):
            raise UnsupportedLayerError(
                f"the address {address!r} is taken by what the root of the tree holds; rename it"
            )
        found[address] = layer
    if not found:
        raise ValueError(f"model {model.name!r} holds no recurrent layer")
    return found


def _matches(address: str, pattern: str) -> bool:
    parts = address.split("/")
    return any(fnmatchcase("/".join(parts[:n]), pattern) for n in range(1, len(parts) + 1))


def _traced(address: str, layer: keras.layers.RNN) -> TracedLayer:
    inner_loops = {base.inner_loop for base in (RNN, keras.layers.LSTM, keras.layers.GRU)}
    if type(layer).inner_loop not in inner_loops:
        raise _unsupported(address, f"{type(layer).__name__} has an inner_loop of its own")
    stacked = isinstance(layer.cell, keras.layers.StackedRNNCells)
    if stacked and type(layer.cell).call is not keras.layers.StackedRNNCells.call:
        raise _unsupported(address, f"{type(layer.cell).__name__} has a call of its own")
    cells = cells_of(layer)
    for cell in cells:
        if cell_kind(cell) is None:
            raise _unsupported(
                address,
                f"its cell is a {type(cell).__name__}; only LSTMCell, GRUCell and SimpleRNNCell, "
                "or stacks of them, can be traced",
            )
    if not isinstance(layer.cell, keras.layers.StackedRNNCells):
        return TracedLayer(address, layer, {address: layer.cell})
    named = {f"{address}/{cell.name}": cell for cell in cells}
    if len(named) < len(cells):
        raise _unsupported(address, "two of its cells have the same name; give them others")
    return TracedLayer(address, layer, named)


def _unsupported(address: str, reason: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"layer {address!r} can't be traced exactly: {reason}. "
        "record_traces can leave it out with layers=[...]"
    )
