"""Find the recurrent layers of a model at any depth, and recognise Keras's own code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from inspect import getattr_static
from typing import Any

import keras

_NO_PART_OF_A_STEP = {
    *("build", "build_from_config", "get_build_config", "get_config", "from_config", "quantize"),
    *("get_initial_state", "save_own_variables", "load_own_variables"),
    *("compute_output_shape", "compute_output_spec", "compute_mask"),
}
"""Methods that may be replaced: what a cell computes from its weights and states stays the same."""

_STEP_DUNDERS = {"__call__", "__getattribute__"}

_KNOWN = {"keras", __name__.partition(".")[0]}


def check_model(model: Any) -> None:
    """Refuse what isn't a model of the installed Keras.

    Raises:
        TypeError: saying what it is, and what would be right.
    """
    if isinstance(model, keras.Model):
        return
    kind = type(model)
    given = repr(model) if isinstance(model, type | str | None) else "an object"
    if isinstance(model, keras.Layer):
        right = f"wrap layer {model.name!r}: keras.Sequential([keras.Input(...), layer])"
    elif isinstance(model, str) or hasattr(model, "__fspath__"):
        right = "load it first: keras.models.load_model(path)"
    else:
        right = "rebuild a tf_keras or PyTorch model with keras and copy its weights"
    raise TypeError(
        f"model is {given} of type {kind.__module__}.{kind.__qualname__}; it must be a keras.Model "
        f"of the installed Keras {keras.__version__}: {right}"
    )


def recurrent_layers(model: keras.Model) -> Iterator[tuple[str, keras.layers.RNN]]:
    """Yield each recurrent layer once, by its address, in the order in which the model holds them.

    The address is made of the names of what holds the layer and of its own, as in
    ``encoder/lstm_1``. The layers of a ``Bidirectional`` are called ``forward`` and ``backward``.

    Raises:
        TypeError: if ``model`` is no model of the installed Keras.
    """
    check_model(model)
    yield from _below(model, "", set())


def graph_nodes(model: Any) -> list[Any]:
    """Return the calls in a model's graph as Keras runs them, its inputs left out.

    Empty if it has no graph: a model whose ``call`` is code of its own, or a layer.
    """
    by_depth = getattr(getattr(model, "_functional", model), "_nodes_by_depth", {})
    nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    return [node for node in nodes if not node.is_input]


def live_states(model: keras.Model) -> dict[str, keras.Variable]:
    """Return what the stateful layers carry, ``(slot, unit)`` each, as ``lstm_1/0`` and so on.

    Raises:
        TypeError: if ``model`` is no model of the installed Keras.
        ValueError: if a stateful layer has no states yet, or two have one address.
    """
    live: dict[str, keras.Variable] = {}
    for address, layer in recurrent_layers(model):
        if not layer.stateful:
            continue
        if layer.states is None:
            raise ValueError(
                f"stateful layer {address!r} has no states yet; give model {model.name!r} a "
                "keras.Input(batch_shape=...) or call it once"
            )
        states = keras.tree.flatten(layer.states)  # those of stacked cells are nested
        named = {f"{address}/{place}": state for place, state in enumerate(states)}
        if live.keys() & named.keys():
            raise ValueError(f"two layers have the address {address!r}; give them different names")
        live |= named
    return live


def _below(
    parent: keras.Layer, prefix: str, seen: set[int]
) -> Iterator[tuple[str, keras.layers.RNN]]:
    for name, layer in _children(parent):
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if isinstance(layer, keras.layers.RNN):
            yield f"{prefix}{name}", layer
        else:
            yield from _below(layer, f"{prefix}{name}/", seen)


def _children(parent: keras.Layer) -> list[tuple[str, keras.Layer]]:
    if isinstance(parent, keras.layers.Bidirectional):
        return [("forward", parent.forward_layer), ("backward", parent.backward_layer)]
    children = parent._flatten_layers(include_self=False, recursive=False)
    return [(child.name, child) for child in children]


@contextmanager
def replaced(layer: keras.Layer, name: str, value: Any) -> Iterator[None]:
    """Hide a method of ``layer``, and what was set there before, while the block runs."""
    # Past Keras's __setattr__, which keeps accounts of what a layer is given.
    attributes = vars(layer)
    earlier = {name: attributes[name]} if name in attributes else {}
    attributes[name] = value
    try:
        yield
    finally:
        if earlier:
            attributes.update(earlier)
        else:
            del attributes[name]


def keras_class(thing: keras.Layer) -> type:
    """Return the recurrent class of Keras that ``thing``, a cell or a layer, is made from."""
    return next(cls for cls in type(thing).__mro__ if _is_recurrent(cls))


def own_methods(thing: keras.Layer, base: type) -> list[str]:
    """Return what of the code of ``base`` isn't Keras's own in ``thing``, a cell or a layer.

    An attribute counts if a subclass hides it, if it was replaced on the instance, or if it was
    replaced on Keras's class itself. Extra attributes, ``__init__``, ``get_config`` and others that
    take no part in a step don't count, nor does what this package puts there for a while.

    Args:
        thing: An instance of ``base``.
        base: A class of Keras, whose equations are known.
    """
    foreign = [cls for cls in type(thing).__mro__ if cls not in base.__mro__]
    found = {
        name
        for cls in foreign
        for name in vars(cls)
        if hasattr(base, name)
        and getattr_static(type(thing), name) is not getattr_static(base, name)
    }
    held = vars(thing)
    found |= {name for name in held.keys() & _names(base) if _is_foreign(held[name])}
    for place in _recurrent_classes(base):
        found |= _foreign_in(place)
    return sorted(name for name in found if _in_a_step(name))


@lru_cache
def _names(base: type) -> frozenset[str]:
    """Return the names that a class of Keras has; one added later is none that its code uses."""
    return frozenset(dir(base))


@lru_cache
def _recurrent_classes(base: type) -> list[type]:
    return [cls for cls in base.__mro__ if _is_recurrent(cls)]


_LOOKED_AT: dict[type, tuple[dict[str, Any], set[str]]] = {}
"""By a class of Keras, what it held when it was last looked at, and what of that is foreign."""


def _foreign_in(place: type) -> set[str]:
    """Return what of a class isn't Keras's own; looking at all of it takes long for each call."""
    held, found = _LOOKED_AT.get(place, ({}, set[str]()))
    if held != vars(place):
        held = dict(vars(place))
        found = {name for name, value in held.items() if _is_foreign(value)}
        _LOOKED_AT[place] = held, found
    return found


def _is_recurrent(cls: type) -> bool:
    return cls.__module__.startswith("keras.src.layers.rnn.")


def _in_a_step(name: str) -> bool:
    if name.startswith("__"):
        return name in _STEP_DUNDERS
    return name not in _NO_PART_OF_A_STEP


def _is_foreign(value: Any) -> bool:
    """Tell whether a function, method or property is neither Keras's code nor this package's."""
    function = getattr(value, "fget", None) or getattr(value, "__func__", value)
    if not callable(function):
        return False
    home = getattr(function, "__globals__", {}).get("__name__", "")
    return home.partition(".")[0] not in _KNOWN
