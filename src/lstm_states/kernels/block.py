"""A fast LSTM kernel that keeps every quantity: TensorFlow's fused ``BlockLSTMV2``.

The op knows neither masks nor starts per row; both are met outside it. A masked step leaves the
states alone, so a row's real steps can be moved to its front and run without a mask.

The gradient that TensorFlow registers for the op returns blocks of the weights' gradient in the
wrong places, and the op ``BlockLSTMGradV2`` multiplies the weights' gradient together step by step.
Here a loop compiled by XLA goes back through the steps; the weights' gradient is one product after
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import keras
import tensorflow as tf

from lstm_states.kernels.cells import CellRun, scan, take_slots, weight
from lstm_states.schema import QUANTITIES

Tensors = tuple[tf.Tensor, ...]


def suits_block(cell: keras.Layer) -> bool:
    """Tell whether :func:`block_lstm` computes exactly what ``cell`` does."""
    return (
        isinstance(cell, keras.layers.LSTMCell)
        and cell.compute_dtype == "float32"
        and cell.activation is keras.activations.tanh
        and cell.recurrent_activation is keras.activations.sigmoid
    )


def block_lstm(
    cell: keras.layers.LSTMCell,
    sequences: tf.Tensor,
    states: Tensors,
    mask: tf.Tensor | None,
) -> CellRun:
    """Compute what :func:`lstm_states.kernels.cells.scan_cell` does, in one op for all steps.

    Gradients, of any order, reach the inputs, the states and the weights through ``hidden`` and
    ``cell``; taking one through a gate is an error.
    """
    if mask is None:
        return CellRun(_run(cell, sequences, states, tf.shape(sequences)[0]))
    count = tf.cumsum(tf.cast(mask, tf.int32))  # real steps up to and with each step
    by_row, steps = tf.transpose(count), tf.shape(count)[0]
    wanted = tf.broadcast_to(tf.range(1, steps + 1), tf.shape(by_row))
    order = tf.transpose(tf.searchsorted(by_row, wanted))  # where each real step is
    moved = take_slots(sequences, tf.minimum(order, steps - 1))
    # Behind a row's real steps, zeros: a NaN of the padding would turn all gradients into NaN.
    moved = tf.where(order[..., tf.newaxis] < steps, moved, tf.zeros_like(moved))
    longest = tf.maximum(tf.reduce_max(count[-1]), 0)  # of no rows at all, the maximum is negative
    return CellRun(_run(cell, moved, states, longest), slots=count - 1)


def _run(
    cell: keras.layers.LSTMCell, sequences: tf.Tensor, states: Tensors, steps: tf.Tensor
) -> dict[str, tf.Tensor]:
    bias = weight(cell, "bias") if cell.use_bias else tf.zeros(4 * cell.units)
    weights = weight(cell, "kernel"), weight(cell, "recurrent_kernel"), bias
    arguments = (sequences, *states, *weights, steps)
    hidden, memory, *gates = _traced(*(tuple(a.shape) for a in arguments))(*arguments)
    message = "no gradient goes through the gates of the fused kernel"
    gates = [tf.raw_ops.PreventGradient(input=gate, message=message) for gate in gates]
    return dict(zip(QUANTITIES, (hidden, memory, *gates), strict=True))


@lru_cache(maxsize=256)
def _traced(*shapes: tuple[int | None, ...]) -> Any:
    """Return a function of :func:`_lstm` for arguments of these shapes.

    Inside a function of its own, a custom gradient works in branches, and outside of all graphs
    for gradients of any order.
    """
    return tf.function(_lstm, autograph=False)


@tf.custom_gradient
def _lstm(
    x: tf.Tensor,
    h0: tf.Tensor,
    c0: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor,
    steps: tf.Tensor,
) -> tuple[Tensors, Callable[..., Tensors]]:
    """Return h, c, i, f, g and o ``(time, batch, unit)``, and what their gradients become."""
    peephole = tf.zeros(recurrent_kernel.shape[0])  # unused
    fused = tf.raw_ops.BlockLSTMV2(
        seq_len_max=tf.cast(steps, tf.int64),
        x=x,
        cs_prev=c0,
        h_prev=h0,
        w=tf.concat([kernel, recurrent_kernel], axis=0),
        wci=peephole,
        wcf=peephole,
        wco=peephole,
        b=bias,
        use_peephole=False,
        cell_clip=0.0,
    )
    i, c, f, o, g, tanh_c, h = map(tf.stop_gradient, fused)  # the registered one is never asked

    @tf.custom_gradient
    def first(*arguments: tf.Tensor) -> tuple[Tensors, Callable[..., Tensors]]:
        *inputs, dh, dc = arguments
        saved = (_before(c0, c), i, f, g, o, tanh_c)
        found = _gradients(x, _before(h0, h), kernel, recurrent_kernel, saved, dh, dc, steps)
        gradients = tuple(map(tf.stop_gradient, found))
        return gradients, lambda *upstream: _second(inputs, dh, dc, upstream)

    def gradient(dh: tf.Tensor, dc: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        # Copies belong to the graph of the gradient, where a second derivative can reach them.
        inputs = map(tf.identity, (x, h0, c0, kernel, recurrent_kernel, bias))
        return *first(*inputs, dh, dc), None

    return (h, c, i, f, g, o), gradient


def _before(start: tf.Tensor, states: tf.Tensor) -> tf.Tensor:
    """Return what each step found, ``(time, batch, unit)``."""
    return tf.concat([start[tf.newaxis], states[:-1]], 0)


def _gradients(
    x: tf.Tensor,
    h_before: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    saved: Tensors,
    dh: tf.Tensor,
    dc: tf.Tensor,
    steps: tf.Tensor,
) -> Tensors:
    """Return the gradients with respect to x, h0, c0 and the three weights."""
    arrays = (*saved, dh, dc)
    if x.shape[0] is None:  # each new length is compiled anew
        more = _few_lengths(tf.shape(x)[0]) - tf.shape(x)[0]
        arrays = tuple(tf.pad(array, [(0, more), (0, 0), (0, 0)]) for array in arrays)
    dz, dh0, dc0 = _back(steps, recurrent_kernel, *arrays)
    dz = tf.ensure_shape(dz[: tf.shape(x)[0]], (*x.shape[:2], 4 * recurrent_kernel.shape[0]))
    rows = tf.reshape(dz, (-1, dz.shape[-1]))
    found = tf.concat([x, h_before, tf.ones_like(x[..., :1])], -1)
    weights = tf.matmul(tf.reshape(found, (-1, found.shape[-1])), rows, transpose_a=True)
    dx = tf.reshape(tf.matmul(rows, kernel, transpose_b=True), tf.shape(x))
    features = kernel.shape[0]
    return dx, dh0, dc0, weights[:features], weights[features:-1], weights[-1]


def _few_lengths(steps: tf.Tensor) -> tf.Tensor:
    """Round up to one of the four lengths that there are between a power of two and the next."""
    octave = tf.floor(tf.math.log(tf.cast(steps, tf.float32)) / math.log(2))
    grain = tf.cast(2 ** tf.maximum(octave - 2, 0), tf.int32)
    return (steps + grain - 1) // grain * grain


@tf.function(jit_compile=True, autograph=False)
def _back(
    steps: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    c_before: tf.Tensor,
    i: tf.Tensor,
    f: tf.Tensor,
    g: tf.Tensor,
    o: tf.Tensor,
    tanh_c: tf.Tensor,
    dh: tf.Tensor,
    dc: tf.Tensor,
) -> Tensors:
    """Go back through the first ``steps`` of the time axis; what is behind them is not read.

    Returns:
        The gradients with respect to the sums before the activations ``(time, batch, 4 unit)``,
        zero behind ``steps``, and to the states at the start.
    """
    most = tf.shape(i)[0]
    transposed = tf.transpose(recurrent_kernel)
    sums = tf.TensorArray(tf.float32, most, element_shape=(None, transposed.shape[0]))

    def step(t: tf.Tensor, h: tf.Tensor, c: tf.Tensor, sums: tf.TensorArray) -> tuple[Any, ...]:
        h += dh[t]
        c += dc[t] + h * o[t] * (1 - tanh_c[t] ** 2)
        dz = [
            c * g[t] * i[t] * (1 - i[t]),
            c * c_before[t] * f[t] * (1 - f[t]),
            c * i[t] * (1 - g[t] ** 2),
            h * tanh_c[t] * o[t] * (1 - o[t]),
        ]
        joined = tf.concat(dz, -1)
        return t - 1, joined @ transposed, c * f[t], sums.write(t, joined)

    nothing = tf.zeros_like(dh[0])
    _, h, c, sums = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (steps - 1, nothing, nothing, sums),
        maximum_iterations=most,
    )
    return sums.stack(), h, c


def _second(inputs: list[tf.Tensor], dh: tf.Tensor, dc: tf.Tensor, upstream: Tensors) -> Tensors:
    """Return the gradients of the gradients, by TensorFlow's own differentiation of the scan."""
    x, h0, c0, kernel, recurrent_kernel, bias = inputs
    cell = SimpleNamespace(
        kernel=kernel,
        recurrent_kernel=recurrent_kernel,
        bias=bias,
        use_bias=True,
        implementation=2,
        compute_dtype="float32",
        activation=tf.tanh,
        recurrent_activation=tf.sigmoid,
    )
    with tf.GradientTape() as outer:
        outer.watch([*inputs, dh, dc])
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            values = scan("LSTM", cell, x, (h0, c0)).values
        states = [values["hidden"], values["cell"]]
        firsts = inner.gradient(states, inputs, [dh, dc])
    return outer.gradient(firsts, [*inputs, dh, dc], upstream, unconnected_gradients="zero")
