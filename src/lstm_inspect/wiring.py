"""Where recurrent layers stand in a model: whose steps they read, and what reads theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lstm_inspect.given import graph_inputs
from lstm_states.layers import graph_nodes, recurrent_layers
from lstm_states.traces.traced_layers import call_order

ATTENTION = (
    keras.layers.Attention, keras.layers.AdditiveAttention, keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
)  # fmt: skip
"""Layers that hand on a step for each step of their first input, the query."""

BY_STEP = (
    keras.layers.Dropout, keras.layers.SpatialDropout1D, keras.layers.GaussianNoise,
    keras.layers.Dense, keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU,
    keras.layers.LayerNormalization, keras.layers.BatchNormalization, keras.layers.TimeDistributed,
)  # fmt: skip
"""Layers that hand on each step by itself, in its place."""


@dataclass(frozen=True)
class Place:
    """A recorded layer in its model.

    Args:
        address: Of its node in the traces.
        layer: The recurrent layer.
        wrapper: The Bidirectional around it; or None.
        reads: The numbers of the inputs of the model whose steps are those of the layer.
    """

    address: str
    layer: keras.layers.RNN
    wrapper: keras.layers.Bidirectional | None
    reads: frozenset[int] = frozenset()

    @property
    def direction(self) -> str:
        """In which direction it reads."""
        return "backward" if self.layer.go_backwards else "forward"

    @property
    def returns(self) -> str:
        """What it hands on."""
        what = "every step" if self.layer.return_sequences else "last step"
        return f"{what}, states" if self.layer.return_state else what


def places(model: keras.Model, addresses: list[str]) -> dict[str, Place]:
    """Return where each recorded layer stands, by the address of its node."""
    known = dict(recurrent_layers(model))
    wrappers = {
        id(one): wrapper
        for wrapper in model._flatten_layers()
        if isinstance(wrapper, keras.layers.Bidirectional)
        for one in (wrapper.forward_layer, wrapper.backward_layer)
    }
    calls = _calls(model)
    found = {}
    for address in addresses:
        # A node may be a cell of the layer, or one of its calls.
        own = [a for a in known if f"{address}/".startswith(f"{a}/")]
        if own:
            layer = known[max(own, key=len)]
            number = int(address.rpartition("/call_")[2]) if "/call_" in address else 0
            own_calls = calls.get(id(layer), [])
            reads = own_calls[number] if number < len(own_calls) else frozenset()
            found[address] = Place(address, layer, wrappers.get(id(layer)), reads)
    return found


def _calls(model: keras.Model) -> dict[int, list[frozenset[int]]]:
    """Return for each call of a recurrent layer, by its ``id``, the inputs whose steps it reads.

    A model without a graph hands the steps of its only input to all of its layers, as far as known.
    """
    runs: dict[int, list[frozenset[int]]] = {}
    layers = [layer for _, layer in recurrent_layers(model)]
    if not graph_nodes(model):
        return {id(layer): [frozenset([0])] for layer in layers}
    _follow_steps(model, [frozenset([n]) for n in range(len(graph_inputs(model)))], runs)
    return {
        id(layer): [runs[id(layer)][n] for n in call_order(model, layer, len(runs[id(layer)]))]
        for layer in layers
        if id(layer) in runs
    }


def _follow_steps(
    model: Any, given: list[frozenset[int]], runs: dict[int, list[frozenset[int]]]
) -> list[frozenset[int]]:
    """Follow the steps of inputs through a graph, note who reads them, and return its outputs'."""
    graph = getattr(model, "_functional", model)
    held = dict(zip(map(id, graph.inputs), given, strict=True))
    nothing: frozenset[int] = frozenset()
    for node in graph_nodes(model):
        layer = node.operation
        read = [held.get(id(tensor), nothing) for tensor in read_by(node)]
        handed = frozenset().union(*read)
        if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
            handed = read[0]  # the others are states
        elif isinstance(layer, ATTENTION):
            handed = read[0]
        for one in _recurrent(layer):
            within = isinstance(layer, keras.layers.TimeDistributed)  # it reads another axis
            runs.setdefault(id(one), []).append(nothing if within else handed)
        if graph_nodes(layer) and len(read) == len(graph_inputs(layer)):
            own = _follow_steps(layer, read, runs)
        elif isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
            first = handed if layer.return_sequences else nothing
            own = [first, *[nothing] * (len(node.outputs) - 1)]
        else:
            made = isinstance(layer, keras.layers.RepeatVector)  # its steps are its own
            own = [nothing if made else handed] * len(node.outputs)
        held.update(zip(map(id, node.outputs), own, strict=True))
    return [held.get(id(tensor), nothing) for tensor in graph.outputs]


def read_by(node: Any) -> list[Any]:
    """Return the tensors that a call is given, without its mask, which Keras hands on beside."""
    named = {name: value for name, value in node.arguments.kwargs.items() if name != "mask"}
    leaves = keras.tree.flatten((node.arguments.args, named))
    return [leaf for leaf in leaves if isinstance(leaf, keras.KerasTensor)]


def _recurrent(layer: Any) -> list[keras.layers.RNN]:
    """Return the recurrent layers in an operation that has no graph to follow."""
    if graph_nodes(layer) or not isinstance(layer, keras.layers.Layer):
        return []
    return [one for one in layer._flatten_layers() if isinstance(one, keras.layers.RNN)]


def last_step_of(model: keras.Model, layer: keras.layers.Layer) -> bool:
    """Tell whether something in a graph of a model picks the last step of a layer's output."""
    graphs = [one for one in model._flatten_layers() if graph_nodes(one)]
    return any(
        _picks_last_step(node) and _hands_on(node.parent_nodes[0], layer)
        for graph in graphs
        for node in graph_nodes(graph)
    )


def _hands_on(node: Any, layer: keras.layers.Layer) -> bool:
    """Tell whether a call is that of ``layer``, or passes each of its steps on by itself."""
    if node.operation is layer:
        return True
    by_step = isinstance(node.operation, BY_STEP) and len(node.parent_nodes) == 1
    return by_step and _hands_on(node.parent_nodes[0], layer)


def _picks_last_step(node: Any) -> bool:
    """Tell whether a call is ``y[:, -1]``, or takes the last of the steps in another way."""
    kind, values = type(node.operation).__name__, list(node.arguments.args)
    values += list(node.arguments.kwargs.values())
    if kind not in ("GetItem", "Take") or len(values) < 2:
        return False
    last = (-1, values[0].shape[1] - 1 if values[0].shape[1] else -1)
    if kind == "Take":
        return bool(node.operation.axis == 1 and np.isin(values[1], last).all())
    key = values[1] if isinstance(values[1], tuple) else ()
    if len(key) < 2 or not isinstance(key[0], slice):
        return False
    return key[1].start in last if isinstance(key[1], slice) else key[1] in last
