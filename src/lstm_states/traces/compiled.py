"""Compile a function of a model once, and run it so that it leaves the model unchanged."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Mapping, Set
from functools import lru_cache
from types import MethodType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lstm_states.traces.moving import Moving, put_back, written_variables

_COMPILED: weakref.WeakKeyDictionary[Any, dict] = weakref.WeakKeyDictionary()
"""By owner, its functions. Neither they nor their keys may hold the owner: it would stay."""

_ONE_AT_A_TIME = threading.RLock()
"""While a model is compiled its layers are stepped in for, and while it runs it moves."""


def run_compiled(
    owner: Any,
    key: Hashable,
    make: Callable[[], Any],
    model: keras.Model,
    given: tuple,
    live: Moving,
) -> tuple[Any, Moving]:
    """Run a compiled function of a model, which is compiled if it isn't kept yet.

    Args:
        owner: The function is kept as long as this lives.
        key: Tells it from others of the same owner.
        make: Makes the ``tf.function``, which must not hold ``owner``.
        model: The model; changed in its structure, it has another function.
        given: The function's arguments, of which the first is the model's input.
        live: What the variables that a call moves shall hold before it; those that aren't in it
            hold what they hold now. They are put back afterwards.

    Returns:
        What the function returns, and ``live`` for the next call.
    """
    inner = tuple(map(_features, keras.tree.flatten(given[0])))
    key = (key, inner, _structure(model))
    leaves = keras.tree.flatten(given)
    shapes = tuple(None if leaf is None else (*leaf.shape, leaf.dtype) for leaf in leaves)
    with _ONE_AT_A_TIME:
        functions = _COMPILED.setdefault(owner, {})
        if key not in functions:
            functions[key] = make(), {}
        function, written = functions[key]
        if shapes not in written:  # what a call writes may depend on them
            written[shapes] = written_variables(function.get_concrete_function(*given).graph)
        with put_back(written[shapes], live) as moved:
            return function(*given), moved()


def _features(values: tf.Tensor) -> tf.TensorShape:
    """The sizes that mustn't differ in one graph, where Keras would no longer check them."""
    tokens = not values.dtype.is_floating
    return values.shape[2 if tokens or values.shape.rank > 2 else 1 :]


def _structure(model: keras.Model) -> tuple:
    """What a compiled function keeps as it was: the layers with their attributes and methods.

    Variables are read again at each call. Of other objects that a layer's code reads, and of what
    it takes from elsewhere, changes inside aren't seen.
    """
    return tuple(
        (Same(layer), *((k, _plain(v)) for k, v in vars(layer).items() if _counts(layer, k)))
        for layer in model._flatten_layers()
    )


_VALUES = {bool, int, float, str, type(None)}


@lru_cache
def _accounts() -> frozenset[str]:
    """The attributes in which Keras keeps its accounts of a layer, and of a model's training."""
    layer = {name for name in vars(keras.layers.Layer()) if name[0] == "_"}
    model = vars(keras.Model()).keys() - vars(keras.layers.Layer()).keys()
    trained = {"_compile_config", "_compiled_trainable_state", "_eval_epoch_iterator", "history"}
    stops = {"stop_training", "stop_evaluating", "stop_predicting"}
    return frozenset({*layer, *model, *trained, *stops, "optimizer"})


def _counts(layer: keras.Layer, name: str) -> bool:
    """Tell whether a layer's code may read an attribute, or it hides a method."""
    if callable(getattr(type(layer), name, None)):
        return True
    if name in _accounts() or name.startswith("_self_"):  # TensorFlow's accounts
        return False
    return name[0] != "_" or not type(layer).__module__.startswith("keras.")


def _plain(value: Any, outer: tuple[int, ...] = ()) -> Hashable:
    """Return what equals that of another value if code that reads them can't tell them apart.

    Args:
        value: Any object.
        outer: The identities of the containers that it is in.
    """
    if type(value) in _VALUES or isinstance(value, np.generic):
        return type(value), repr(value)  # 1 and 1.0 are equal, NaN isn't
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, MethodType):  # a new one each time it is asked for
        return Same(value.__self__), Same(value.__func__)
    if isinstance(value, tf.Tensor) and not hasattr(value, "numpy"):
        return "of a graph"  # left there by the call that made the graph
    if id(value) not in outer and isinstance(value, Mapping | list | tuple | Set):
        inside = value.items() if isinstance(value, Mapping) else value
        parts = [_plain(part, (*outer, id(value))) for part in inside]
        return type(value), frozenset(parts) if isinstance(value, Set) else tuple(parts)
    return Same(value)


class Same:
    """Equal to another one of the same object, which it doesn't keep alive."""

    def __init__(self, value: Any) -> None:
        self._id = id(value)
        self.there: Callable[[], Any]
        try:
            self.there = weakref.ref(value)
        except TypeError:  # a tuple, say
            self.there = lambda: self

    def __hash__(self) -> int:
        return self._id

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Same) or self._id != other._id:
            return False
        # Python gives the id of an object that is gone to another one.
        return self.there() is not None and other.there() is not None
