"""Split the input of a model into batches: arrays, data sets, and any iterable of batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Batch = tuple[Any, Any, dict[str, tuple[np.ndarray, ...]], list[Any]]
"""The input, the mask or None, the states to start from, and the places of edits, of some samples.
"""


class DigestedBatches:
    """Batches with a digest of all that were taken so far, to recognise them when resuming.

    Attributes:
        samples: How many were taken.
        digest: Of all of them.
        last: The last batch.
    """

    last: Batch

    def __init__(self, batches: Iterator[Batch]) -> None:
        self.samples = 0
        self.digest = ""
        self._batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        batch = next(self._batches)
        self.digest = digest_of(batch, self.digest)
        self.samples += len(keras.tree.flatten(batch[0])[0])
        self.last = batch
        return batch


def digest_of(arrays: Any, before: str = "") -> str:
    """Return the SHA-256 of nested arrays, and of the digest of what came before."""
    hashed = hashlib.sha256(before.encode())
    for leaf in keras.tree.flatten(arrays):
        values = np.asarray([] if leaf is None else leaf)
        hashed.update(f"{values.dtype} {values.shape}".encode())
        text = values.dtype.kind == "O"
        hashed.update(repr(values.tolist()).encode() if text else values.tobytes())
    return hashed.hexdigest()


def is_stream(x: Any) -> bool:
    """Tell a source of batches (a ``tf.data.Dataset``, a generator...) from arrays."""
    leaves = keras.tree.flatten(x)
    return len(leaves) == 1 and not hasattr(leaves[0], "shape") and _is_iterable(leaves[0])


def stream_batches(x: Any) -> Iterator[Batch]:
    """Yield the inputs of the batches in ``x``; targets and sample weights are left aside."""
    for item in stream_items(x):
        inputs = keras.utils.unpack_x_y_sample_weight(item)[0]
        yield keras.tree.map_structure(tf.convert_to_tensor, inputs), None, {}, []


def stream_items(x: Any) -> Iterable[Any]:
    """Return what ``x`` gives for each batch, targets and sample weights too."""
    by_index = isinstance(x, keras.utils.PyDataset)
    return (x[index] for index in range(x.num_batches)) if by_index else x


def array_batches(
    x: Any,
    mask: Any,
    states: Mapping[str, tuple[np.ndarray, ...]],
    samples: np.ndarray | None,
    batch_size: int,
) -> Iterator[Batch]:
    """Yield the rows of arrays, as Keras does converting floats to its default precision.

    Args:
        x: An array, or arrays nested as the model takes them, by sample. Arrays on disk are read
            batch by batch.
        mask: Bool ``(sample, time)`` or None.
        states: States to start from, each ``(sample, unit)`` of the samples that are taken.
        samples: Which samples to take, in this order; None takes all.
        batch_size: Samples in a batch; the last one may be smaller.
    """
    size = count_samples(x, mask) if samples is None else len(samples)
    for start in range(0, size, batch_size):
        batch = slice(start, start + batch_size)
        rows = batch if samples is None else samples[batch]
        yield (
            keras.tree.map_structure(lambda array, r=rows: rows_of(array, r), x),
            None if mask is None else tf.convert_to_tensor(np.asarray(mask)[rows], bool),
            {a: tuple(s[batch] for s in pair) for a, pair in states.items()},
            [],
        )


def count_samples(x: Any, mask: Any) -> int:
    """Return the number of samples in arrays.

    Raises:
        ValueError: if ``x`` isn't made of arrays, or its arrays and ``mask`` don't agree.
    """
    leaves = keras.tree.flatten(x)
    for leaf in leaves:
        if not hasattr(leaf, "shape") or len(leaf.shape) == 0:
            raise ValueError(
                f"x holds a {type(leaf).__name__}; it must be an array (sample, time, ...), a list "
                "or dict of arrays as the model expects them, or an iterator over batches"
            )
    if mask is not None and (np.ndim(mask) != 2 or len(leaves) != 1):
        raise ValueError(
            f"mask has shape {np.shape(mask)} for {len(leaves)} inputs; "
            "it must be (sample, time) for one input"
        )
    for leaf in leaves:
        if 0 in leaf.shape[1:]:
            raise ValueError(f"x has an array of shape {tuple(leaf.shape)}; no axis may be empty")
    sizes = {leaf.shape[0] for leaf in [*leaves, *([] if mask is None else [mask])]}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            f"x and mask hold {sorted(sizes)} samples; they must hold the same number, at least 1"
        )
    steps = tuple(leaves[0].shape[:2])
    if mask is not None and len(steps) == 2 and tuple(mask.shape) != steps:
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}, but x has {tuple(leaves[0].shape)}; mask must be "
            f"{steps}, (sample, time)"
        )
    return int(sizes.pop())


def check_inputs(model: keras.Model, x: Any) -> None:
    """Refuse a batch that doesn't have the shape that the inputs of ``model`` have.

    A model without ``keras.Input`` takes what its layers take, and so does a Sequential one
    whatever sizes its input names: Keras holds a Functional model alone to them.

    Raises:
        ValueError: naming the input, the shape given and the one that would be right.
    """
    functional = getattr(model, "_functional", None)  # what a Sequential model holds
    inputs = getattr(functional or model, "_inputs_struct", None)
    if inputs is None or _names(inputs) != _names(x):
        return  # Keras takes some other nestings too, and refuses the rest itself
    for spec, leaf in zip(keras.tree.flatten(inputs), keras.tree.flatten(x), strict=True):
        # Keras adds or removes a last axis of 1.
        shapes = [tuple(s)[: -1 if s[-1:] == (1,) else None] for s in (spec.shape, leaf.shape)]
        expected, given = (s[1:] for s in shapes)
        sizes = () if functional else zip(expected, given, strict=False)
        fits = [size in (None, own) for size, own in sizes]
        if len(expected) != len(given) or not all(fits):
            raise ValueError(
                f"input {spec.name!r} of model {model.name!r} receives {tuple(leaf.shape)}; it "
                f"expects {tuple(spec.shape)}"
            )


def _names(x: Any) -> list:
    return sorted(x) if isinstance(x, dict) else [None] * len(keras.tree.flatten(x))


def _is_iterable(value: Any) -> bool:
    return isinstance(value, keras.utils.PyDataset) or hasattr(value, "__iter__")


def rows_of(array: Any, rows: Any) -> tf.Tensor:
    """Return ``rows``, a slice or indices, floats in Keras's default precision."""
    array = np.asarray(array) if isinstance(array, tf.Tensor) else array
    if hasattr(array, "iloc"):
        values = np.asarray(array.iloc[rows])
    elif isinstance(rows, slice):
        values = np.asarray(array[rows])
    else:  # h5py reads rows in increasing order only, and each of them once
        increasing, places = np.unique(rows, return_inverse=True)
        values = np.asarray(array[increasing])[places]
    is_float = values.dtype.kind == "f"
    return tf.convert_to_tensor(values, keras.config.floatx() if is_float else None)
