"""Find out whether the rows of a layer's input are the model's samples, each in its place.

A model may fold steps or sensors into the batch, and drop or reorder samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import combinations
from math import comb
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.ops import numpy as keras_numpy

from lstm_states.traces.cell_trace import CellTrace

MOST = 8
"""Runs in which samples are replaced: enough for 70 patterns."""

_ANYTHING = (keras.layers.Lambda, keras.layers.TFSMLayer)


def keeps_rows(layer: keras.Layer) -> bool:
    """Tell whether a model is made of Keras's own layers alone, which treat each sample alone."""
    names = ("axis", "axes", "attention_axes")
    axes = keras.tree.flatten([getattr(layer, name, None) for name in names])
    if isinstance(layer, _ANYTHING) or any(n is not None and (n == 0 or n < -1) for n in axes):
        return False
    # A model may train in a way of its own; of a layer, any method may take part in its call.
    own = layer.call if isinstance(layer, keras.Model) else type(layer)
    if not _is_of(own, "keras.src.") or not _is_of(layer.call, "keras.src."):
        return False
    activations = [getattr(layer, n, None) for n in ("activation", "recurrent_activation")]
    if not all(_is_of(function, "keras.src.activations.") for function in activations if function):
        return False
    graph = getattr(layer, "_functional", None) or layer
    inside = getattr(graph, "operations", None)
    if inside is None:
        inside = layer._flatten_layers(include_self=False, recursive=False)
    return all(keeps_rows(op) if isinstance(op, keras.Layer) else _masks(op) for op in inside)


def _is_of(code: Any, package: str) -> bool:
    return str(getattr(code, "__module__", "")).startswith(package)


def _masks(operation: keras.Operation) -> bool:
    """Tell whether an operation is one by which Masking and Embedding mask each row alone."""
    (given, *others) = operation._inbound_nodes[0].input_tensors
    if isinstance(operation, keras_numpy.Any):
        return operation.axis == [-1] and len(given.shape) > 1
    return isinstance(operation, keras_numpy.NotEqual) and not others


def tell_rows(sequences: tf.Tensor) -> tf.Tensor:
    """Return a number for each row of ``sequences (row, time, ...)`` that tells it from others."""
    flat = tf.cast(tf.reshape(sequences, (tf.shape(sequences)[0], -1)), tf.float64)
    weights = tf.cos(tf.range(1, tf.shape(flat)[1] + 1, dtype=tf.float64))
    return tf.linalg.matvec(flat, weights)


def moved_rows(
    run: Callable[[Any, Any], Mapping[str, Any]],
    x: Any,
    mask: Any,
    nodes: Mapping[str, CellTrace],
) -> set[str]:
    """Return the addresses of layers whose rows aren't the samples, each in its place.

    The batch is run again with its samples in another order: rows that follow are the samples,
    though each may depend on all of them, as on their mean. Two orders, of which all others are
    made, leave no fixed exchange of samples unseen. Rows that don't follow may still be in their
    places, where noise or states belong to a place: then some samples are replaced by others, and
    rows of samples that stay must stay. Of up to 70 samples each is replaced in other runs than any
    other one, so that no row can come from another sample unseen; of more, that n pairs of samples
    change places stays unseen once in 70 to the n.
    Of a model whose noise can't be drawn again (that of ``tf.random.normal``) nothing can be
    told: its rows are taken for the samples if there are as many.

    Args:
        run: Runs the model on inputs and a mask, and returns the ``rows`` of the cells by address.
        x: The inputs of the batch, arrays or tensors by sample.
        mask: Bool ``(sample, time)`` or None.
        nodes: What the cells did with the batch, by address.
    """
    samples = len(keras.tree.flatten(x)[0])
    other = {a for a, node in nodes.items() if len(node.mask) != samples}
    open_still = {a for a, node in nodes.items() if node.rows is not None} - other
    open_still -= _that_follow(run, x, mask, nodes, open_still)
    moved: set[str] = set()
    runs = next(n for n in range(2, MOST + 1) if n == MOST or comb(n, n // 2) >= samples)
    patterns = list(combinations(range(runs), runs // 2))
    own = [patterns[n % len(patterns)] for n in np.random.default_rng(0).permutation(samples)]
    for number in range(runs if open_still and samples > 1 else 0):
        replaced = np.array([number in pattern for pattern in own])
        source = np.where(replaced, (np.arange(samples) + 1) % samples, np.arange(samples))
        again = run(*_rows((x, mask), source))
        moved |= {a for a in open_still if not _same(nodes[a].rows, again[a], ~replaced, ~replaced)}
    if moved:
        again, everything = run(x, mask), slice(None)
        moved = {a for a in moved if _same(nodes[a].rows, again[a], everything, everything)}
    return other | moved


def _that_follow(
    run: Callable[[Any, Any], Mapping[str, Any]],
    x: Any,
    mask: Any,
    nodes: Mapping[str, CellTrace],
    addresses: set[str],
) -> set[str]:
    """Return those of the layers whose rows change places just as the samples do."""
    samples = len(keras.tree.flatten(x)[0])
    if samples < 3:  # their one exchange may be the model's own
        return set()
    first_two = np.array([1, 0, *range(2, samples)])
    for order in (np.roll(np.arange(samples), 1), first_two):
        if addresses:
            again = run(*_rows((x, mask), order))
            # Another place in the batch may round otherwise.
            same = partial(_same, these=order, those=slice(None), atol=1e-5)
            addresses = {a for a in addresses if same(nodes[a].rows, again[a])}
    return addresses


def _same(
    before: Any,
    after: Any,
    these: Any,
    those: Any,
    *,
    atol: float = 1e-12,
) -> bool:
    """Compare rows of two runs, by ``atol`` times the largest of them."""
    one, two = np.asarray(before), np.asarray(after)
    if one.shape != two.shape:
        return False
    scale = np.abs(one[np.isfinite(one)]).max(initial=0.0)
    return np.allclose(one[these], two[those], rtol=1e-6, atol=atol * scale, equal_nan=True)


def _rows(values: Any, source: np.ndarray) -> Any:
    return keras.tree.map_structure(lambda v: None if v is None else tf.gather(v, source), values)
