"""Follow layers and masks through a model: who carries state, and where a mask gets lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from lstm_inspect.given import Given
from lstm_inspect.runs import states_of_zero, told_in_the_report
from lstm_states.layers import graph_nodes, recurrent_layers


@dataclass(frozen=True)
class Place:
    """A recorded layer in its model.

    Args:
        address: Of its node in the traces.
        layer: The recurrent layer.
        wrapper: The Bidirectional around it; or None.
    """

    address: str
    layer: keras.layers.RNN
    wrapper: keras.layers.Bidirectional | None

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
    found = {}
    for address in addresses:
        # A node may be a cell of the layer, or one of its calls.
        own = [a for a in known if f"{address}/".startswith(f"{a}/")]
        if own:
            layer = known[max(own, key=len)]
            found[address] = Place(address, layer, wrappers.get(id(layer)))
    return found


@dataclass(frozen=True)
class MaskPath:
    """Which operations of a model's graph are given a mask and hand one on.

    Args:
        before: The names of all operations before each one, in the order in which they run.
        given: Those that are given a mask.
        handed: Those that hand one on.
        kinds: The class of each.
    """

    before: dict[str, list[str]]
    given: frozenset[str]
    handed: frozenset[str]
    kinds: dict[str, str]

    def lost_at(self, name: str) -> str | None:
        """Return the last operation before ``name`` that is given a mask and hands none on."""
        lost = [one for one in self.before.get(name, []) if one in self.given - self.handed]
        return lost[-1] if lost else None

    def made_at(self, name: str) -> str | None:
        """Return the last operation before ``name`` that makes a mask."""
        made = [one for one in self.before.get(name, []) if one in self.handed - self.given]
        return made[-1] if made else None


def follow_masks(given: Given) -> MaskPath | None:
    """Run the graph of a model once and see where masks go; None if it has none to see."""
    nodes = graph_nodes(given.model)
    if not nodes:
        return None
    graph = getattr(given.model, "_functional", given.model)
    batch = given.take(slice(given.slots or 1))
    arrays = [keras.ops.convert_to_tensor(leaf) for leaf in keras.tree.flatten(batch.x)]
    arrays = [
        keras.ops.cast(array, spec.dtype) for array, spec in zip(arrays, graph.inputs, strict=True)
    ]
    if batch.mask is not None:
        arrays[0]._keras_mask = keras.ops.convert_to_tensor(batch.mask)
    came: set[str] = set()
    left: set[str] = set()

    def watched(operation: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            if _masked((args, kwargs)):
                came.add(operation.name)
            result = operation(*args, **kwargs)
            if _masked(result):
                left.add(operation.name)
            return result

        return run

    with states_of_zero(given.model), told_in_the_report():  # where Keras warns of a lost mask
        graph._run_through_graph(arrays, operation_fn=watched)
    before: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for node in nodes:
        name = node.operation.name
        kinds[name] = type(node.operation).__name__
        for parent in node.parent_nodes:
            if parent.is_input:
                continue
            above = [*before.get(parent.operation.name, []), parent.operation.name]
            before[name] = list(dict.fromkeys([*before.get(name, []), *above]))
    return MaskPath(before, frozenset(came), frozenset(left), kinds)


def _masked(values: Any) -> bool:
    return any(
        getattr(leaf, "_keras_mask", None) is not None for leaf in keras.tree.flatten(values)
    )


def last_step_of(model: keras.Model, layer: keras.layers.Layer) -> bool:
    """Tell whether something in the graph of a model picks the last step of a layer's output."""
    for node in graph_nodes(model):
        if type(node.operation).__name__ != "GetItem":
            continue
        if not any(parent.operation is layer for parent in node.parent_nodes):
            continue
        flat = [*node.arguments.args, *node.arguments.kwargs.values()]
        keys = [key for key in flat if isinstance(key, tuple)]
        if any(len(key) > 1 and key[1] == -1 for key in keys):
            return True
    return False
