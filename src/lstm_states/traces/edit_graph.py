"""Edits in the graph of a batch: from where and what they are to what the kernels do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from lstm_states.kernels.cells import divide_states, kind_of, state_shape, unit_axis
from lstm_states.kernels.edits import INPUTS, CellEdit, hold
from lstm_states.kernels.slots import spread
from lstm_states.traces.edit_plans import INITIAL, Places, Target
from lstm_states.traces.traced_layers import TracedLayer, UnsupportedLayerError


@dataclass(frozen=True)
class GraphEdits:
    """The edits of a batch while its graph is made, and what is known of them then.

    Args:
        targets: Which they are.
        places: Of each, where and by what.
        samples: How many samples the batch has; None if it isn't known.
    """

    targets: Sequence[Target] = ()
    places: Sequence[Places] = ()
    samples: int | None = None
    _touched: list[list[tf.Tensor]] = field(default_factory=list)
    _nan: list[list[tf.Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make room for each edit."""
        self._touched.extend([] for _ in self.targets)
        self._nan.extend([] for _ in self.targets)

    def of_layer(self, traced: TracedLayer, real: tf.Tensor) -> list[list[CellEdit]]:
        """Return the edits of each cell of a layer for one call.

        Args:
            traced: The layer.
            real: Bool ``(row, time)``, true where its step is real.
        """
        by_cell: dict[str, list[CellEdit]] = {address: [] for address in traced.cells}
        for number, (target, places) in enumerate(zip(self.targets, self.places, strict=True)):
            if target.address not in by_cell:
                continue
            cell = traced.cells[target.address]
            backwards = traced.layer.go_backwards
            edit = cell_edit(target, places, cell, real, self.samples, backwards=backwards)
            by_cell[target.address].append(edit)
            counts = tf.transpose(real)
            if target.quantity.startswith(INITIAL):
                counts = tf.ones_like(counts)
            self._touched[number].append(tf.reduce_any(edit.where & counts))
            self._nan[number].append(_holds_nan(edit, counts))
        return list(by_cell.values())

    def touched(self) -> tf.Tensor:
        """Tell of each edit whether it has touched anything, bool ``(edit,)``."""
        return tf.stack([tf.reduce_any(tf.stack(found)) for found in self._touched])

    def nan(self) -> tf.Tensor:
        """Tell of each edit whether it has put NaN into a real step, bool ``(edit,)``."""
        return tf.stack([tf.reduce_any(tf.stack(found)) for found in self._nan])


def edited_start(traced: TracedLayer, start: Any, edits: list[list[CellEdit]]) -> Any:
    """Return what the cells of a layer start from, nested as Keras nests it, with its edits."""
    cells, changed = traced.cells.values(), []
    for cell, states, own in zip(cells, divide_states(cells, start), edits, strict=True):
        for name, state in zip(kind_of(cell).states, states, strict=True):
            for edit in own:
                if edit.quantity == INITIAL + name:
                    given = [values[0] for values in edit.operands]
                    new = tf.cast(edit.change(state, state, *given), state.dtype)
                    state = tf.where(spread(edit.where[0], state) & edit.units, new, state)
            changed.append(state)
    return keras.tree.pack_sequence_as(start, changed)


def edited_steps(edits: Sequence[CellEdit], real: tf.Tensor, *, inputs: bool = False) -> tf.Tensor:
    """Tell at which steps ``(row, time)`` a quantity of a cell is edited.

    Args:
        edits: All edits of the cell.
        real: Bool ``(row, time)``, true where the step is real.
        inputs: Whether edits of what the cell is given count, too.
    """
    edited = tf.zeros_like(real)
    for edit in edits:
        if not edit.quantity.startswith(INITIAL) and (inputs or edit.quantity != INPUTS):
            edited |= tf.transpose(edit.where) & real
    return edited


def cell_edit(
    target: Target,
    places: Places,
    cell: keras.Layer,
    real: tf.Tensor,
    samples: int | None,
    *,
    backwards: bool,
) -> CellEdit:
    """Return an edit for the kernels.

    Args:
        target: Which edit it is.
        places: Where, and by what; tensors of a graph.
        cell: The cell.
        real: Bool ``(row, time)`` of the layer, true where the step is real.
        samples: How many samples the batch has.
        backwards: Whether the layer takes the last step first.

    Raises:
        UnsupportedLayerError: if it chooses samples, but the layer's rows are others.
        ValueError: if the operands don't fit the steps.
    """
    wide = places.sample is not None or any(v.shape[1] != 1 for v in places.operands)
    if wide and not real.shape[:1].is_compatible_with([samples]):
        raise UnsupportedLayerError(
            f"{target.name}: layer {target.address!r} receives {real.shape[0]} rows, not the "
            f"{samples} samples of the model: it is unclear which of them sample is for"
        )
    number = tf.range(tf.shape(real)[1])
    if target.time is not None:
        indices = number[slice(*target.time)]
    elif places.time is None or places.time.dtype == tf.bool:
        indices = number
    else:
        indices = tf.cast(places.time, tf.int32) % tf.shape(real)[1]
    if places.time is not None and places.time.dtype == tf.bool:
        where = places.time
    else:
        chosen = tf.reduce_any(number[:, tf.newaxis] == indices, 1)[:, tf.newaxis]
        where = chosen & tf.ones_like(tf.transpose(real))
    if places.sample is not None:
        where &= places.sample
    if target.action == "hold" and target.quantity not in kind_of(cell).states:
        # Nothing was there before the first real step.
        ran = tf.cast(tf.transpose(real), tf.int32)
        where &= tf.cumsum(ran, exclusive=True, reverse=backwards) > 0
    operands = tuple(_timed(target, v, number, indices) for v in places.operands)
    if target.action != "swap":
        operands = tuple(tf.cast(v, cell.compute_dtype) for v in operands)
    return CellEdit(target.quantity, _change(target, cell), where, places.unit, operands)


def _timed(target: Target, values: tf.Tensor, number: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Return an operand of all steps, or 1 step for all of them."""
    held, steps, chosen = values.shape[0], number.shape[0], indices.shape[0]
    if held in (1, steps):
        return values
    if held != chosen:
        raise ValueError(
            f"{target.name}: {target.action} holds {held} steps; it must hold 1, or those chosen "
            f"of the {steps} that layer {target.address!r} receives: {chosen}"
        )
    return tf.gather(values, tf.argmax(number[:, tf.newaxis] == indices, 1))


def _change(target: Target, cell: keras.Layer) -> Callable[..., Any]:
    """Return what makes the new value; see :class:`CellEdit`."""
    if target.action == "hold":
        return hold
    if target.action == "function":
        assert target.function is not None
        return partial(_call, target, target.function)
    axis = unit_axis(cell) - len(state_shape(cell)) - 1
    changes: dict[str, Callable[..., Any]] = {
        "set": lambda value, before, given: given,
        "add": lambda value, before, given: value + given,
        "scale": lambda value, before, given: value * given,
        "clamp": lambda value, before, low, high: tf.clip_by_value(value, low, high),
        "swap": lambda value, before, order: tf.gather(value, tf.reshape(order, [-1]), axis=axis),
    }
    return changes[target.action]


def _call(
    target: Target, function: Callable[[Any], Any], value: tf.Tensor, before: tf.Tensor
) -> tf.Tensor:
    changed = tf.convert_to_tensor(function(value))
    if not changed.shape.is_compatible_with(value.shape):
        raise ValueError(
            f"{target.name}: function returns the shape {tuple(changed.shape)} for values of shape "
            f"{tuple(value.shape)}; it must return the same shape"
        )
    return changed


def _holds_nan(edit: CellEdit, real: tf.Tensor) -> tf.Tensor:
    """Tell whether an operand has NaN at a step of ``real (time, batch)`` that is edited."""
    found = tf.constant(False)
    for values in edit.operands:
        if values.dtype.is_floating:
            places = spread(edit.where & real, values) & edit.units & tf.math.is_nan(values)
            found |= tf.reduce_any(places)
    return found
