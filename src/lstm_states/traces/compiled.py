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
    form = _form(given)
    with _ONE_AT_A_TIME:
        functions: dict[Hashable, Any] = _COMPILED.setdefault(owner, {})
        found = functions.get(key)  # to compare keys takes as long as to make one
        if found is None:
            found = functions[key] = make(), dict[Hashable, Any]()
        function, graphs = found
        if form not in graphs:  # what a call writes may depend on it
            graph = function.get_concrete_function(*given)
            graphs[form] = graph, written_variables(graph.graph)
        graph, written = graphs[form]
        # The function would look for the graph again, which takes as long as a small one runs.
        run = function if tf.config.functions_run_eagerly() else graph
        with put_back(written, live) as moved:
            return run(*given), moved()


def _form(given: Any) -> Hashable:
    """What is equal of arguments that the same graph was made for."""
    if isinstance(given, dict):
        return tuple((key, _form(value)) for key, value in given.items())
    if isinstance(given, list | tuple):
        return type(given), *map(_form, given)
    if given is None:
        return None
    if isinstance(given, np.ndarray | tf.Tensor):
        return given.shape, given.dtype
    return tf.type_spec_from_value(given)


def _features(values: tf.Tensor) -> tf.TensorShape:
    """The sizes that mustn't differ in one graph, where Keras would no longer check them."""
    tokens = not values.dtype.is_floating
    return values.shape[2 if tokens or values.shape.rank > 2 else 1 :]


def _structure(model: keras.Model) -> tuple:
    """What a compiled function keeps as it was: the layers with their attributes and methods.

    Variables are read again at each call. Of other objects that a layer's code reads, and of what
    it takes from elsewhere, changes inside aren't seen.
    """
    return tuple(map(_attributes, model._flatten_layers()))


def _attributes(layer: keras.Layer) -> tuple:
    kind: type = type(layer)
    return Same(layer), *((k, _plain(v)) for k, v in vars(layer).items() if _counts(kind, k))


_EXACT = {bool, int, str, type(None)}
"""Types of which equal values are the same."""


@lru_cache
def _accounts() -> frozenset[str]:
    """The attributes in which Keras keeps its accounts of a layer, and of a model's training."""
    layer = {name for name in vars(keras.layers.Layer()) if name[0] == "_"}
    model = vars(keras.Model()).keys() - vars(keras.layers.Layer()).keys()
    trained = {"_compile_config", "_compiled_trainable_state", "_eval_epoch_iterator", "history"}
    stops = {"stop_training", "stop_evaluating", "stop_predicting"}
    return frozenset({*layer, *model, *trained, *stops, "optimizer"})


@lru_cache(10_000)
def _counts(kind: type, name: str) -> bool:
    """Tell whether the code of a kind of layers may read an attribute, or it hides a method."""
    if callable(getattr(kind, name, None)):
        return True
    if name in _accounts() or name.startswith("_self_"):  # TensorFlow's accounts
        return False
    return name[0] != "_" or not kind.__module__.startswith("keras.")


def _plain(value: Any, outer: tuple[int, ...] = ()) -> Hashable:
    """Return what equals that of another value if code that reads them can't tell them apart.

    Args:
        value: Any object.
        outer: The identities of the containers that it is in.
    """
    kind: type = type(value)
    if kind in _EXACT:
        return kind, value  # 1 and True are equal
    read = _reader(kind)
    return Same(value) if read is None else read(value, outer)


@lru_cache(10_000)
def _reader(kind: type) -> Callable[[Any, tuple[int, ...]], Hashable] | None:
    """Return what :func:`_plain` makes of the inside of a ``kind`` of values; None if nothing."""
    if kind is float or issubclass(kind, np.generic):
        return lambda value, outer: (kind, repr(value))  # 0.0 and -0.0 are equal, NaN isn't
    if issubclass(kind, np.ndarray):
        return _plain_array
    if issubclass(kind, MethodType):
        return _plain_method
    if issubclass(kind, tf.Tensor):
        return _plain_tensor
    return _plain_container if issubclass(kind, Mapping | list | tuple | Set) else None


def _plain_array(value: np.ndarray, outer: tuple[int, ...]) -> Hashable:
    if value.dtype == object:
        return Same(value)
    return value.shape, value.dtype.str, value.tobytes()


def _plain_method(value: MethodType, outer: tuple[int, ...]) -> Hashable:
    return Same(value.__self__), Same(value.__func__)  # a new one each time it is asked for


def _plain_tensor(value: tf.Tensor, outer: tuple[int, ...]) -> Hashable:
    # One of a graph was left there by the call that made the graph.
    return Same(value) if hasattr(value, "numpy") else "of a graph"


def _plain_container(value: Any, outer: tuple[int, ...]) -> Hashable:
    if id(value) in outer:
        return Same(value)
    inside = value.items() if isinstance(value, Mapping) else value
    parts = [_plain(part, (*outer, id(value))) for part in inside]
    return type(value), frozenset(parts) if isinstance(value, Set) else tuple(parts)


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
