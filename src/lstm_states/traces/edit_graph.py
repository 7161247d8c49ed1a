"""Edits in the graph of a batch: from where and what they are to what the kernels do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from lstm_states.cells import INITIAL, INPUTS, is_start
from lstm_states.kernels.cells import divide_states, kind_of, state_shape, unit_axis
from lstm_states.kernels.edits import CellEdit, hold
from lstm_states.kernels.slots import spread
from lstm_states.traces.edit_plans import Part, Target
from lstm_states.traces.traced_layers import TracedLayer, UnsupportedLayerError


@dataclass(frozen=True)
class GraphEdits:
    """The edits of a batch while its graph is made, and what is known of them then.

    Args:
        targets: Which they are.
        parts: Of each, where and by what.
        samples: How many samples the batch has; None if it isn't known.
    """

    targets: Sequence[Target] = ()
    parts: Sequence[Part] = ()
    samples: int | None = None
    _touched: list[list[tf.Tensor]] = field(default_factory=list)
    _nan: list[list[tf.Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make room for each edit."""
        self._touched.extend([] for _ in self.targets)
        self._nan.extend([] for _ in self.targets)

    def of_layer(
        self, traced: TracedLayer, sequences: tf.Tensor, real: tf.Tensor
    ) -> list[list[CellEdit]]:
        """Return the edits of each cell of a layer for one call.

        Args:
            traced: The layer.
            sequences: What it is given.
            real: Bool ``(row, time)``, true where its step is real.
        """
        by_cell: dict[str, list[CellEdit]] = {address: [] for address in traced.cells}
        for number, (target, part) in enumerate(zip(self.targets, self.parts, strict=True)):
            if target.address not in by_cell:
                continue
            cell = traced.cells[target.address]
            backwards = traced.layer.go_backwards
            edit = _cell_edit(target, part, cell, real, self.samples, backwards=backwards)
            if target.quantity == INPUTS and cell is next(iter(traced.cells.values())):
                _check_inputs(target, edit, sequences)
            counts = tf.transpose(real)
            if is_start(target.quantity):
                counts = tf.ones_like(counts)
            self._touched[number].append(tf.reduce_any(edit.where & counts))
            self._nan[number].append(_holds_nan(edit, counts))
            by_cell[target.address].append(_without_nan(edit))
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


def edited_steps(edits: Sequence[CellEdit], real: tf.Tensor, *, inputs: bool = True) -> tf.Tensor:
    """Tell at which steps ``(row, time)`` a quantity of a cell is edited.

    Args:
        edits: All edits of the cell.
        real: Bool ``(row, time)``, true where the step is real.
        inputs: Whether edits of what the cell is given count, too.
    """
    edited = tf.zeros_like(real)
    for edit in edits:
        if not is_start(edit.quantity) and (inputs or edit.quantity != INPUTS):
            edited |= tf.transpose(edit.where) & real
    return edited


def _cell_edit(
    target: Target,
    part: Part,
    cell: keras.Layer,
    real: tf.Tensor,
    samples: int | None,
    *,
    backwards: bool,
) -> CellEdit:
    """Return an edit for the kernels.

    Args:
        target: Which edit it is.
        part: Where, and by what; tensors of a graph.
        cell: The cell.
        real: Bool ``(row, time)`` of the layer, true where the step is real.
        samples: How many samples the batch has.
        backwards: Whether the layer takes the last step first.

    Raises:
        UnsupportedLayerError: if it chooses samples, but the layer's rows are others.
        ValueError: if the operands don't fit the steps.
    """
    wide = part.sample is not None or any(v.shape[1] != 1 for v in part.operands)
    if wide and not real.shape[:1].is_compatible_with([samples]):
        raise UnsupportedLayerError(
            f"{target.name}: layer {target.address!r} receives {real.shape[0]} rows, not the "
            f"{samples} samples of the model: it is unclear which of them sample is for"
        )
    steps = tf.range(tf.shape(real)[1]) if real.shape[1] is None else tf.range(real.shape[1])
    where, indices = _where(target, part, steps, real)
    if part.sample is not None:
        where &= part.sample
    if target.action == "hold" and target.quantity not in kind_of(cell).states:
        # Nothing was there before the first real step.
        ran = tf.cast(tf.transpose(real), tf.int32)
        where &= tf.cumsum(ran, exclusive=True, reverse=backwards) > 0
    operands = tuple(_timed(target, v, steps, indices) for v in part.operands)
    if target.action != "swap":
        operands = tuple(tf.cast(v, cell.compute_dtype) for v in operands)
    return CellEdit(target.quantity, _change(target, cell), where, part.unit, operands)


def _where(
    target: Target, part: Part, steps: tf.Tensor, real: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return bool ``(time, row)``, true at the steps that are chosen, and their indices."""
    if isinstance(part.time, tf.Tensor) and part.time.dtype == tf.bool:
        return part.time, steps
    if target.time is not None:
        indices = steps[slice(*target.time)]
    elif isinstance(part.time, list):
        indices = steps[slice(*part.time)]
    elif part.time is None:
        indices = steps
    else:
        given = tf.cast(part.time, tf.int32)
        indices = tf.where(given < 0, given + tf.size(steps), given)
    chosen = tf.reduce_any(steps[:, tf.newaxis] == indices, 1)[:, tf.newaxis]
    return chosen & tf.ones_like(tf.transpose(real)), indices


def _timed(target: Target, values: tf.Tensor, steps: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
    """Return an operand of all steps, or 1 step for all of them."""
    held = values.shape[0]
    if held == 1:
        return values
    if target.whole and held == steps.shape[0]:
        return values
    if held != indices.shape[0]:
        several = "an unknown number" if indices.shape[0] is None else indices.shape[0]
        raise ValueError(
            f"{target.name}: {target.action} holds {held} steps; it must hold 1, or those chosen "
            f"of the steps that layer {target.address!r} receives: {several}"
        )
    return tf.gather(values, tf.argmax(steps[:, tf.newaxis] == indices, 1))


def _check_inputs(target: Target, edit: CellEdit, sequences: tf.Tensor) -> None:
    """Refuse operands that don't fit what a layer is given, of which no weight told the size."""
    for values in edit.operands:
        for own, size in zip(values.shape[2:], sequences.shape[2:], strict=True):
            if own != 1 and size is not None and own != size:
                raise ValueError(
                    f"{target.name}: {target.action} has the shape {tuple(values.shape[2:])} for "
                    f"each step; layer {target.address!r} receives {tuple(sequences.shape[2:])}"
                )


def _change(target: Target, cell: keras.Layer) -> Callable[..., Any]:
    """Return what makes the new value; see :class:`CellEdit`."""
    if target.action == "hold":
        return hold
    if target.action == "function":
        return partial(_call, target)
    axis = unit_axis(cell) - len(state_shape(cell)) - 1
    changes: dict[str, Callable[..., Any]] = {
        "set": lambda value, before, given: given,
        "add": lambda value, before, given: value + given,
        "scale": lambda value, before, given: value * given,
        "clamp": lambda value, before, low, high: tf.clip_by_value(value, low, high),
        "swap": lambda value, before, order: tf.gather(value, tf.reshape(order, [-1]), axis=axis),
    }
    return changes[target.action]


def _call(target: Target, value: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Apply a function of the user's."""
    assert target.function is not None
    function = target.function.there()
    try:
        changed = tf.convert_to_tensor(function(value))
    except Exception as error:
        raise ValueError(
            f"{target.name}: function fails on a tensor of shape {tuple(value.shape)}, of which it "
            f"must make one of the same shape by TensorFlow's or Keras's operations: {error}"
        ) from error
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


def _without_nan(edit: CellEdit) -> CellEdit:
    """Return an edit with 0 for NaN, which counts nowhere, but would make gradients NaN."""
    numbers = [
        tf.where(tf.math.is_nan(values), tf.zeros_like(values), values)
        if values.dtype.is_floating
        else values
        for values in edit.operands
    ]
    return replace(edit, operands=tuple(numbers))
