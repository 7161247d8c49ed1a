"""Variables that a call of a model changes: live states, noise seeds, counters of any kind.

A recording restores all of them. Between its batches, they continue as in ``model.predict``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

# TensorFlow's own account of what a graph writes, loops and functions within it included.
from tensorflow.python.framework.auto_control_deps_utils import (
    get_read_only_resource_input_indices_graph,
)

Moving = dict[Any, tf.Tensor]
"""What variables hold, by a reference to their handles."""


def written_variables(graph: Any) -> dict[Any, tf.DType]:
    """Return the types of the variables that a traced function writes, by reference to a handle.

    Args:
        graph: The graph of a concrete function.
    """
    read_only = set(get_read_only_resource_input_indices_graph(graph))
    written = {id(tensor) for n, tensor in enumerate(graph.inputs) if n not in read_only}
    found = {}
    for handle, inside in graph.captures:
        known = getattr(handle, "_handle_data", None)  # a variable's, not a lookup table's
        if handle.dtype == tf.resource and id(inside) in written and known and known.is_set:
            found[handle.ref()] = tf.as_dtype(known.shape_and_type[0].dtype)
    return found


def values_of(variables: Iterable[tuple[Any, Any]]) -> Moving:
    """Return by reference the values given for ``tf.Variable`` objects."""
    return {variable.handle.ref(): tf.convert_to_tensor(value) for variable, value in variables}


@contextmanager
def put_back(written: dict[Any, tf.DType], live: Moving) -> Iterator[Callable[[], Moving]]:
    """Set the variables in ``live`` inside, and afterwards all to what they hold now.

    Yields:
        A function that reads what the ``written`` variables hold inside.
    """

    def read() -> Moving:
        return {
            handle: tf.raw_ops.ReadVariableOp(resource=handle.deref(), dtype=dtype)
            for handle, dtype in written.items()
        }

    def write(values: Moving) -> None:
        for handle in values.keys() & written.keys():
            tf.raw_ops.AssignVariableOp(resource=handle.deref(), value=values[handle])

    before = read()
    try:
        write(live)
        yield read
    finally:
        write(before)
