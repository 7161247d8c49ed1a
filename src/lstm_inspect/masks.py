"""Follow masks through the graph of a model: where one is made, and where it gets lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras

from lstm_inspect.given import Given, graph_inputs
from lstm_inspect.runs import states_of_zero, told_in_the_report
from lstm_inspect.wiring import read_by
from lstm_states.layers import graph_nodes


@dataclass
class MaskPath:
    """Which operations of a model's graph, and of graphs in it, are given a mask and hand one on.

    Args:
        before: The addresses of all operations before each one, in the order in which they run.
        given: Those that are given a mask.
        handed: Those that hand one on.
        kinds: The class of each.
    """

    before: dict[str, list[str]] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    handed: set[str] = field(default_factory=set)
    kinds: dict[str, str] = field(default_factory=dict)

    def operation_of(self, address: str) -> str:
        """Return the address of the operation that holds the layer at ``address``."""
        own = [name for name in self.kinds if f"{address}/".startswith(f"{name}/")]
        return max(own, key=len, default=address)

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
    if not graph_nodes(given.model):
        return None
    batch = given.take(slice(given.slots or 1))
    arrays = [keras.ops.convert_to_tensor(leaf) for leaf in keras.tree.flatten(batch.x)]
    arrays = [
        keras.ops.cast(array, spec.dtype)
        for array, spec in zip(arrays, graph_inputs(given.model), strict=True)
    ]
    if batch.mask is not None:
        arrays[0]._keras_mask = keras.ops.convert_to_tensor(batch.mask)
    path = MaskPath()
    with states_of_zero(given.model), told_in_the_report():  # where Keras warns of a lost mask
        _run_watched(given.model, arrays, "", path)
    _order(given.model, "", [[] for _ in arrays], path)
    return path


def _run_watched(model: Any, arrays: list[Any], prefix: str, path: MaskPath) -> Any:
    """Run a graph, and note which operations are given a mask and hand one on."""

    def watched(operation: Any) -> Any:
        name = f"{prefix}{operation.name}"

        def run(*args: Any, **kwargs: Any) -> Any:
            masks = keras.tree.flatten(kwargs.get("mask"))
            if _masked((args, kwargs)) or any(mask is not None for mask in masks):
                path.given.add(name)
            inner = keras.tree.flatten(args)
            if graph_nodes(operation) and len(inner) == len(graph_inputs(operation)):
                for leaf, mask in zip(inner, masks, strict=False):
                    leaf._keras_mask = getattr(leaf, "_keras_mask", None) if mask is None else mask
                result = _run_watched(operation, inner, f"{name}/", path)
            else:
                result = operation(*args, **kwargs)
            if _masked(result):
                path.handed.add(name)
            return result

        return run

    return getattr(model, "_functional", model)._run_through_graph(arrays, operation_fn=watched)


def _order(model: Any, prefix: str, above: list[list[str]], path: MaskPath) -> list[list[str]]:
    """Note what runs before each operation of a graph, and return what runs before its outputs.

    A nested model stands for its operations, of which one may lose the mask.
    """
    graph = getattr(model, "_functional", model)
    held = dict(zip(map(id, graph.inputs), above, strict=True))
    for node in graph_nodes(model):
        operation, name = node.operation, f"{prefix}{node.operation.name}"
        read = [held.get(id(tensor), []) for tensor in read_by(node)]
        merged = [*path.before.get(name, []), *(one for names in read for one in names)]
        path.kinds[name] = type(operation).__name__
        path.before[name] = list(dict.fromkeys(merged))
        if graph_nodes(operation) and len(read) == len(graph_inputs(operation)):
            own = _order(operation, f"{name}/", read, path)
        else:
            own = [[*path.before[name], name]] * len(node.outputs)
        held.update(zip(map(id, node.outputs), own, strict=True))
    return [held.get(id(tensor), []) for tensor in graph.outputs]


def _masked(values: Any) -> bool:
    return any(
        getattr(leaf, "_keras_mask", None) is not None for leaf in keras.tree.flatten(values)
    )
