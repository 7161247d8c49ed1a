"""Select samples, steps and units: xarray's ``isel``, checked and applied to tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

DIMENSIONS = ("sample", "time", "unit")

Selection = dict[str, slice | np.ndarray]


def check_selection(isel: Mapping[str, slice | Sequence[int]]) -> Selection:
    """Return ``isel`` with its sequences as arrays.

    Raises:
        ValueError: naming the dimension or the value that can't select.
    """
    selection: Selection = {}
    for dim, wanted in isel.items():
        if dim not in DIMENSIONS:
            raise ValueError(f"isel names {dim!r}; allowed are {list(DIMENSIONS)}")
        if not isinstance(wanted, slice):
            array = np.asarray(wanted)
            array = array.astype(np.int64) if array.dtype.kind in "iu" else array
            if array.ndim != 1 or array.dtype.kind not in "iu":
                raise ValueError(
                    f"isel[{dim!r}] is {wanted!r}; it must be a slice or a sequence of integers"
                )
        selection[dim] = wanted if isinstance(wanted, slice) else array
    return selection


def describe_selection(selection: Selection) -> list:
    """Return ``selection`` as JSON that tells any two apart."""
    return [
        [dim, str(wanted) if isinstance(wanted, slice) else wanted.tolist()]
        for dim, wanted in sorted(selection.items())
    ]


def positions(
    wanted: slice | np.ndarray | None, size: int, what: str, name: str = "isel"
) -> np.ndarray:
    """Return the indices, from 0 on, that ``wanted`` selects of ``size``; None selects all.

    Raises:
        ValueError: if an index is out of range or nothing is selected; it names ``what``, and the
            argument by its ``name``.
    """
    everything = np.arange(size)
    if wanted is None:
        return everything
    if not isinstance(wanted, slice) and np.any((wanted < -size) | (wanted >= size)):
        raise ValueError(f"{name} has {wanted.tolist()} for each {what}; there are {size}")
    chosen = everything[wanted]
    if not len(chosen):
        raise ValueError(f"{name} has {wanted} for each {what}; that selects none of {size}")
    return chosen


def take(values: tf.Tensor, axis: int, wanted: slice | np.ndarray | None, what: str) -> tf.Tensor:
    """Return what ``wanted`` selects along ``axis``; None selects all.

    Raises:
        ValueError: as :func:`positions` does.
    """
    if wanted is None:
        return values
    if values.shape[axis] is not None:
        positions(wanted, values.shape[axis], what)
    if isinstance(wanted, slice):
        return values[(slice(None),) * axis + (wanted,)]
    counted = tf.where(wanted < 0, wanted + tf.shape(values, wanted.dtype)[axis], wanted)
    return tf.gather(values, counted, axis=axis)
