"""The equations of the recurrent cells, and the plain scan that every faster kernel is held to.

Sources, in the forms and column orders of Keras: LSTM (i, f, g, o) of Hochreiter and Schmidhuber
(1997) with the forget gate of Gers et al. (2000); GRU (z, r, g) of Cho et al. (2014); SimpleRNN of
Elman (1990). The order of the sums is Keras's own, so that half precision rounds alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from lstm_states.schema import CELL_QUANTITIES, CELL_STATES

Values = dict[str, tf.Tensor]


@dataclass(frozen=True)
class CellRun:
    """What a cell did with some samples, in the order in which it took the steps.

    ``values`` holds the quantities ``(slot, batch, unit)``. ``slots (time, batch)`` tells which
    slot holds the state after each step, -1 being the state the cell started from; None means
    that there is a slot for each step.
    """

    values: Values
    slots: tf.Tensor | None = None

    def steps(self, name: str, start: tf.Tensor) -> tf.Tensor:
        """Return the state ``name`` after each step, ``(time, batch, unit)``."""
        if self.slots is None:
            return self.values[name]
        taken = take_slots(self.values[name], self.slots)
        return tf.where(self.slots[..., tf.newaxis] < 0, start, taken)

    def final(self, name: str, start: tf.Tensor) -> tf.Tensor:
        """Return the state ``name`` after the last step, ``(batch, unit)``."""
        last = None if self.slots is None else self.slots[-1:]
        return CellRun({name: self.values[name]}, last).steps(name, start)[-1]

    def rows(self, rows: slice) -> CellRun:
        """Return the run of some of the samples."""
        values = {name: value[:, rows] for name, value in self.values.items()}
        return CellRun(values, None if self.slots is None else self.slots[:, rows])


def take_slots(values: tf.Tensor, slots: tf.Tensor) -> tf.Tensor:
    """Take from ``values (slot, batch, unit)`` for each row the ``slots (time, batch)``."""
    rows = tf.shape(values)[1]
    flat = tf.reshape(values, (-1, values.shape[-1]))
    return tf.gather(flat, tf.maximum(slots, 0) * rows + tf.range(rows))


_CLASSES = {
    "LSTM": keras.layers.LSTMCell,
    "GRU": keras.layers.GRUCell,
    "SimpleRNN": keras.layers.SimpleRNNCell,
}


def cell_kind(cell: keras.Layer) -> str | None:
    """Return ``LSTM``, ``GRU`` or ``SimpleRNN``, or None for a cell with equations of its own."""
    for kind, base in _CLASSES.items():
        if isinstance(cell, base) and type(cell).call is base.call:
            return kind
    return None


def state_names(cell: keras.Layer) -> tuple[str, ...]:
    """Return the names of what ``cell`` carries from step to step, in Keras's order."""
    return CELL_STATES[str(cell_kind(cell))]


def divide_states(cells: Iterable[keras.Layer], states: Any) -> list[list[Any]]:
    """Divide states that are nested in any way among the ``cells`` they are for."""
    flat = iter(keras.tree.flatten(states))
    return [[next(flat) for _ in state_names(cell)] for cell in cells]


def scan_cell(
    cell: keras.Layer,
    sequences: tf.Tensor,
    states: tuple[tf.Tensor, ...],
    mask: tf.Tensor | None,
    added: Mapping[str, tf.Tensor] | None = None,
) -> CellRun:
    """Run ``cell`` over ``sequences`` one step after the other and keep every quantity.

    Args:
        cell: A Keras cell of U units; its weights, activations and precision are used.
        sequences: Inputs ``(time, batch, feature)`` in the order in which the steps are taken.
        states: What the cell starts from, each ``(batch, U)``.
        mask: Bool ``(time, batch)``, true where the step is real; None if all are.
        added: Tensors ``(time, batch, U)`` added to quantities where they arise, by name. With
            zeros, the gradient with respect to one of them is that of the quantity itself.

    Returns:
        The quantities of :data:`lstm_states.schema.CELL_QUANTITIES`, a slot for each step.
        Masked steps repeat the states they carry; their gates are NaN, since no gate ran.
    """
    return scan(str(cell_kind(cell)), cell, sequences, states, mask, added)


def scan(
    kind: str,
    cell: Any,
    sequences: tf.Tensor,
    states: tuple[tf.Tensor, ...],
    mask: tf.Tensor | None = None,
    added: Mapping[str, tf.Tensor] | None = None,
) -> CellRun:
    """Do what :func:`scan_cell` does for anything with the attributes of a cell of that kind."""
    names, carried = CELL_QUANTITIES[kind], CELL_STATES[kind]
    project, step = _EQUATIONS[kind]
    if mask is not None:
        # A NaN in the padding would turn all gradients into NaN.
        sequences = tf.where(mask[..., tf.newaxis], sequences, tf.zeros_like(sequences))
    steps = {
        "inputs": project(cell, tf.cast(sequences, cell.compute_dtype)),
        "real": tf.ones(tf.shape(sequences)[:2], bool) if mask is None else mask,
        **(added or {}),
    }
    states = tuple(tf.cast(state, cell.compute_dtype) for state in states)
    nothing = tf.zeros_like(states[0])

    def advance(before: tuple[tf.Tensor, ...], now: Values) -> tuple[tf.Tensor, ...]:
        previous = dict(zip(names, before, strict=True))
        plus = {name: now.get(name, 0) for name in names}
        real = now["real"][:, tf.newaxis]
        ran = step(cell, now["inputs"], previous, plus)
        held = {name: previous[name] + plus[name] for name in carried}
        return tuple(tf.where(real, ran[n], held.get(n, float("nan"))) for n in names)

    first = (*states, *[nothing] * (len(names) - len(states)))
    values = dict(zip(names, tf.scan(advance, steps, first), strict=True))
    if mask is None:
        return CellRun(values)
    started = tf.cumsum(tf.cast(mask, tf.int32)) > 0
    return CellRun(values, tf.where(started, tf.range(tf.shape(mask)[0])[:, tf.newaxis], -1))


def weight(cell: keras.Layer, name: str) -> tf.Tensor:
    """Return a weight of ``cell`` in the precision in which it computes."""
    return tf.cast(tf.convert_to_tensor(getattr(cell, name)), cell.compute_dtype)


def _project_lstm(cell: keras.Layer, sequences: tf.Tensor) -> tf.Tensor:
    inputs = sequences @ weight(cell, "kernel")
    return inputs + weight(cell, "bias") if _bias_first(cell) else inputs


def _step_lstm(cell: keras.Layer, inputs: tf.Tensor, before: Values, plus: Values) -> Values:
    z = inputs + before["hidden"] @ weight(cell, "recurrent_kernel")
    if cell.use_bias and not _bias_first(cell):
        z += weight(cell, "bias")
    zi, zf, zg, zo = tf.split(z, 4, axis=-1)
    i = cell.recurrent_activation(zi) + plus["input_gate"]
    f = cell.recurrent_activation(zf) + plus["forget_gate"]
    g = cell.activation(zg) + plus["candidate"]
    o = cell.recurrent_activation(zo) + plus["output_gate"]
    c = f * before["cell"] + i * g + plus["cell"]
    h = o * cell.activation(c) + plus["hidden"]
    return dict(zip(CELL_QUANTITIES["LSTM"], (h, c, i, f, g, o), strict=True))


def _bias_first(cell: keras.Layer) -> bool:
    return cell.use_bias and cell.implementation == 1


def _project_gru(cell: keras.Layer, sequences: tf.Tensor) -> tf.Tensor:
    inputs = sequences @ weight(cell, "kernel")
    if not cell.use_bias:
        return inputs
    bias = weight(cell, "bias")
    return inputs + (bias[0] if cell.reset_after else bias)


def _step_gru(cell: keras.Layer, inputs: tf.Tensor, before: Values, plus: Values) -> Values:
    h = before["hidden"]
    kernel = weight(cell, "recurrent_kernel")
    xz, xr, xg = tf.split(inputs, 3, axis=-1)
    if cell.reset_after:
        products = h @ kernel
        if cell.use_bias:
            products += weight(cell, "bias")[1]
        hz, hr, hg = tf.split(products, 3, axis=-1)
    else:
        hz, hr = tf.split(h @ kernel[:, : 2 * cell.units], 2, axis=-1)
    z = cell.recurrent_activation(xz + hz) + plus["update_gate"]
    r = cell.recurrent_activation(xr + hr) + plus["reset_gate"]
    hg = r * hg if cell.reset_after else (r * h) @ kernel[:, 2 * cell.units :]
    g = cell.activation(xg + hg) + plus["candidate"]
    h = z * h + (1 - z) * g + plus["hidden"]
    return dict(zip(CELL_QUANTITIES["GRU"], (h, z, r, g), strict=True))


def _project_simple(cell: keras.Layer, sequences: tf.Tensor) -> tf.Tensor:
    inputs = sequences @ weight(cell, "kernel")
    return inputs + weight(cell, "bias") if cell.use_bias else inputs


def _step_simple(cell: keras.Layer, inputs: tf.Tensor, before: Values, plus: Values) -> Values:
    z = inputs + before["hidden"] @ weight(cell, "recurrent_kernel")
    return {"hidden": cell.activation(z) + plus["hidden"]}


_EQUATIONS: dict[str, tuple[Callable[..., tf.Tensor], Callable[..., Values]]] = {
    "LSTM": (_project_lstm, _step_lstm),
    "GRU": (_project_gru, _step_gru),
    "SimpleRNN": (_project_simple, _step_simple),
}
