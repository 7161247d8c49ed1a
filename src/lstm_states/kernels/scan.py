"""The plain scan over the steps of a cell, the reference for every faster kernel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import keras
import tensorflow as tf

from lstm_states.cells import CellKind
from lstm_states.cells.kind import Values
from lstm_states.kernels.cells import kind_of
from lstm_states.kernels.edits import CellEdit
from lstm_states.kernels.slots import spread, take_slots


@dataclass(frozen=True)
class CellRun:
    """What a cell did with some samples, in the order in which it took the steps.

    ``values`` holds the quantities ``(slot, batch, unit)``; those of a ConvLSTM have axes of space
    besides. ``slots (time, batch)`` tells which slot holds the state after each step, -1 being the
    state the cell started from; None means that there is a slot for each step.
    """

    values: Values
    slots: tf.Tensor | None = None

    def steps(self, name: str, start: tf.Tensor) -> tf.Tensor:
        """Return the state ``name`` after each step, ``(time, batch, unit)``."""
        if self.slots is None:
            return self.values[name]
        taken = take_slots(self.values[name], self.slots)
        return tf.where(spread(self.slots < 0, taken), start, taken)

    def final(self, name: str, start: tf.Tensor) -> tf.Tensor:
        """Return the state ``name`` after the last step, ``(batch, unit)``."""
        last = None if self.slots is None else self.slots[-1:]
        return CellRun({name: self.values[name]}, last).steps(name, start)[-1]

    def rows(self, rows: slice) -> CellRun:
        """Return the run of some of the samples."""
        values = {name: value[:, rows] for name, value in self.values.items()}
        return CellRun(values, None if self.slots is None else self.slots[:, rows])


def scan_cell(
    cell: keras.Layer,
    sequences: tf.Tensor,
    states: tuple[tf.Tensor, ...],
    mask: tf.Tensor | None,
    added: Mapping[str, tf.Tensor] | None = None,
    edits: Sequence[CellEdit] = (),
) -> CellRun:
    """Run ``cell`` over ``sequences`` one step after the other and keep every quantity.

    Args:
        cell: A Keras cell of U units; its weights, activations and precision are used.
        sequences: Inputs ``(time, batch, feature)`` in the order in which the steps are taken.
        states: What the cell starts from, each ``(batch, U)``.
        mask: Bool ``(time, batch)``, true where the step is real; None if all are.
        added: Tensors ``(time, batch, U)`` added to quantities where they arise, by name. With
            zeros, the gradient with respect to one of them is that of the quantity itself.
        edits: What is done to quantities where they arise, in this order, before ``added``.

    Returns:
        The quantities of the cell's kind, a slot for each step.
        Masked steps repeat the states they carry; their gates are NaN, since no gate ran.
        Of a cell with equations of its own, its states, and what it shows as ``output`` if that
        isn't its first state.
    """
    kind = kind_of(cell)
    scan = _scan_known
    if kind.step is None:
        scan = _scan_custom
    elif mask is not None:
        # A NaN in the padding would turn all gradients into NaN.
        sequences = tf.where(mask[..., tf.newaxis], sequences, tf.zeros_like(sequences))
    steps = {"inputs": sequences, **(added or {})}
    if mask is not None:
        steps["real"] = mask
    for number, edit in enumerate(edits):
        steps |= edit.steps(number)
    return CellRun(scan(cell, kind, steps, states, edits), _slots(mask))


def _arise(
    now: Values, before: Values, edits: Sequence[CellEdit], name: str, value: tf.Tensor
) -> tf.Tensor:
    """Return a quantity as it is after the edits of it, and with what is added to it."""
    for number, edit in enumerate(edits):
        if edit.quantity == name:
            value = edit.apply(number, now, value, before[name])
    return value + now[name] if name in now else value


def _scan_known(
    cell: keras.Layer,
    kind: CellKind,
    steps: Values,
    states: tuple[tf.Tensor, ...],
    edits: Sequence[CellEdit],
) -> Values:
    """Take the steps by the equations of the cell's kind."""
    project, step, names = kind.project, kind.step, kind.quantities
    assert project is not None
    assert step is not None
    sequences = tf.cast(steps["inputs"], cell.compute_dtype)
    steps = {**steps, "inputs": project(cell, sequences)}
    states = tuple(tf.cast(state, cell.compute_dtype) for state in states)
    nothing = tf.zeros_like(states[0])

    def advance(before: tuple[tf.Tensor, ...], now: Values) -> tuple[tf.Tensor, ...]:
        previous = dict(zip(names, before, strict=True))
        ran = step(cell, now["inputs"], previous, partial(_arise, now, previous, edits))
        if "real" not in now:
            return tuple(ran[name] for name in names)
        held = {n: previous[n] + now[n] if n in now else previous[n] for n in kind.states}
        real = now["real"][:, tf.newaxis]
        return tuple(tf.where(real, ran[n], held.get(n, previous[n])) for n in names)

    first = (*states, *[nothing] * (len(names) - len(states)))
    if sequences.shape[0] == 1:  # a loop would take long to compile
        ran = [value[tf.newaxis] for value in advance(first, {k: v[0] for k, v in steps.items()})]
    else:
        ran = tf.scan(advance, steps, first)
    values = dict(zip(names, ran, strict=True))
    if "real" in steps:
        real = steps["real"][..., tf.newaxis]
        for gate in names[len(states) :]:
            values[gate] = tf.where(real, values[gate], float("nan"))
    return values


def _slots(mask: tf.Tensor | None) -> tf.Tensor | None:
    """Return the ``slots`` of a :class:`CellRun` that has one for each step."""
    if mask is None:
        return None
    started = tf.cumsum(tf.cast(mask, tf.int32)) > 0
    return tf.where(started, tf.range(tf.shape(mask)[0])[:, tf.newaxis], -1)


def _scan_custom(
    cell: keras.Layer,
    kind: CellKind,
    steps: Values,
    states: tuple[tf.Tensor, ...],
    edits: Sequence[CellEdit],
) -> Values:
    """Have ``cell`` itself take the steps, as ``keras.layers.RNN`` does, and keep its states."""
    options = {"training": False} if cell._call_has_training_arg else {}

    def run(inputs: tf.Tensor, before: Iterable[tf.Tensor]) -> list[tf.Tensor]:
        output, after = cell(inputs, tuple(before), **options)
        return [output, *keras.tree.flatten(after)]

    first, *after = run(steps["inputs"][0], states)
    shows_state = first is after[0]

    def advance(before: list[tf.Tensor], now: Values) -> list[tf.Tensor]:
        previous = dict(zip(kind.states, before[1:], strict=True))
        output, *after = run(now["inputs"], before[1:])
        ran = [
            _arise(now, previous, edits, name, state)
            for name, state in zip(kind.states, after, strict=True)
        ]
        held = [previous[n] + now[n] if n in now else previous[n] for n in kind.states]
        if shows_state:
            output, shown = ran[0], held[0]
        else:
            shown = before[0]
        ran, held = [output, *ran], [shown, *held]
        if "real" not in now:
            return ran
        return [
            tf.where(spread(now["real"], new), new, old) for new, old in zip(ran, held, strict=True)
        ]

    found = tf.scan(advance, steps, [tf.zeros_like(first), *states])
    values = dict(zip(("output", *kind.states), found, strict=True))
    if shows_state:
        del values["output"]
    return values
