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
from functools import lru_cache, partial
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor

from lstm_states.cells import LSTM
from lstm_states.cells.kind import weight
from lstm_states.kernels.cells import find_kind
from lstm_states.kernels.scan import CellRun
from lstm_states.kernels.slots import take_slots

Tensors = tuple[tf.Tensor, ...]


def suits_block(cell: keras.Layer) -> bool:
    """Tell whether :func:`block_lstm` computes exactly what ``cell`` does."""
    return (
        find_kind(cell) is LSTM
        and cell.compute_dtype == "float32"
        and cell.activation is keras.activations.tanh
        and cell.recurrent_activation is keras.activations.sigmoid
    )


def block_lstm(
    cell: keras.layers.LSTMCell,
    sequences: tf.Tensor,
    states: Tensors,
    mask: tf.Tensor | None,
    *,
    gates: bool = True,
) -> CellRun:
    """Compute what :func:`lstm_states.kernels.scan.scan_cell` does, in one op for all steps.

    Gradients of any order reach the inputs, the states and the weights through every quantity.
    Going back is faster without ``gates``: ``hidden`` and ``cell`` are then all that is returned.
    """
    names = LSTM.quantities if gates else LSTM.states
    if mask is None:
        return CellRun(_run(names, cell, sequences, states, tf.shape(sequences)[0]))
    count = tf.cumsum(tf.cast(mask, tf.int32))  # real steps up to and with each step
    by_row, steps = tf.transpose(count), tf.shape(count)[0]
    wanted = tf.broadcast_to(tf.range(1, steps + 1), tf.shape(by_row))
    order = tf.transpose(tf.searchsorted(by_row, wanted))  # where each real step is
    # Real steps come to the front, in their order; the op then stops at the longest row.
    moved = take_slots(sequences, tf.minimum(order, steps - 1))
    # Behind a row's real steps, zeros: a NaN of the padding would turn all gradients into NaN.
    moved = tf.where(order[..., tf.newaxis] < steps, moved, tf.zeros_like(moved))
    longest = tf.maximum(tf.reduce_max(count[-1]), 0)  # of no rows at all, the maximum is negative
    return CellRun(_run(names, cell, moved, states, longest), slots=count - 1)


def _run(
    names: tuple[str, ...],
    cell: keras.layers.LSTMCell,
    sequences: tf.Tensor,
    states: Tensors,
    steps: tf.Tensor,
) -> dict[str, tf.Tensor]:
    bias = weight(cell, "bias") if cell.use_bias else tf.zeros(4 * cell.units)
    weights = weight(cell, "kernel"), weight(cell, "recurrent_kernel"), bias
    arguments = (sequences, *states, *weights, steps)
    function = _traced(names, *(tuple(a.shape) for a in arguments))
    return dict(zip(names, function(*arguments), strict=True))


@lru_cache(maxsize=256)
def _traced(names: tuple[str, ...], *shapes: tuple[int | None, ...]) -> Any:
    """Return a function of :func:`_lstm` for arguments of these shapes.

    A tape looks at the names of operations only, and would take the gradient that TensorFlow
    registers. It can't look into a function, whose gradient is made from the operations' own.
    """
    return tf.function(partial(_lstm, names), autograph=False)


def _lstm(
    names: tuple[str, ...],
    x: tf.Tensor,
    h0: tf.Tensor,
    c0: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor,
    steps: tf.Tensor,
) -> Tensors:
    """Return the quantities of these names, ``(time, batch, unit)``."""
    peephole = tf.zeros(recurrent_kernel.shape[0])  # unused
    if kernel.shape[0] % 2 and (x.shape[1] is None or x.shape[1] % 2):
        # At each run of an odd number of samples with an odd number of features the op writes a
        # line to stderr; one more feature, of zeros, changes nothing.
        x, kernel = tf.pad(x, [(0, 0), (0, 0), (0, 1)]), tf.pad(kernel, [(0, 1), (0, 0)])
    weights = tf.concat([kernel, recurrent_kernel], axis=0), peephole, peephole, peephole, bias
    # The op's own order of outputs: i, cell, f, o, candidate, tanh of the cell, h.
    i, c, f, o, g, _, h = _fused(tf.cast(steps, tf.int64), x, c0, h0, *weights)
    values = dict(zip(LSTM.quantities, (h, c, i, f, g, o), strict=True))
    return tuple(values[name] for name in names)


def _fused(*inputs: tf.Tensor) -> Tensors:
    """Run the op on its inputs in their own order."""
    names = ("seq_len_max", "x", "cs_prev", "h_prev", "w", "wci", "wcf", "wco", "b")
    graph = tf.compat.v1.get_default_graph()
    with graph.gradient_override_map({"BlockLSTMV2": _GRADIENT}):
        return tf.raw_ops.BlockLSTMV2(
            **dict(zip(names, inputs, strict=True)), use_peephole=False, cell_clip=0.0
        )


@pfor.RegisterPFor("BlockLSTMV2")
def _vectorize(found: Any) -> list[Any]:
    """Have ``tf.vectorized_map`` put what it maps over side by side in the batch.

    TensorFlow has no rule for the op, and would run it in a loop or refuse to. One that isn't ours
    and other weights for each element are left to its loop.
    """
    ours = found.op.node_def.attr["_gradient_op_type"].s == _GRADIENT.encode()
    if not ours or any(weight.is_stacked for weight in found.inputs[4:]):
        return pfor._fallback_converter(found)
    features, units = (found.op.inputs[n].shape[-1] for n in (1, 3))
    found.stack_inputs([1, 2, 3])
    steps, x, c0, h0, *weights = (value.t for value in found.inputs)
    number, time, batch = tf.unstack(tf.shape(x)[:3])
    rows = tf.reshape(tf.transpose(x, (1, 0, 2, 3)), (time, number * batch, features))
    states = [tf.reshape(state, (number * batch, units)) for state in (c0, h0)]
    # What the op gives behind the last step of an element is not read.
    outputs = _fused(tf.maximum(tf.reduce_max(steps), 0), rows, *states, *weights)
    divided = [tf.reshape(output, (time, number, batch, units)) for output in outputs]
    return [pfor.wrap(tf.transpose(output, (1, 0, 2, 3)), True) for output in divided]


_GRADIENT = "LSTMStatesBlockLSTM"


@tf.RegisterGradient(_GRADIENT)
def _gradient(op: tf.Operation | None, *upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
    """Return the gradients by the inputs of a ``BlockLSTMV2``.

    All of it can be differentiated again, which asks this function for gradients through the
    gates too. What carries the gradient is the operation itself and nothing around it: also where
    TensorFlow copies operations one by one, as ``tf.vectorized_map`` does, they bring it along.
    """
    if op is None:  # a SavedModel is written, whose gradients don't see the operation
        message = "an exported model on the fused kernel has no gradient: decelerate before export"
        with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
            return tuple(map(tf.identity, upstream))
    steps, x, c0, h0, joined, *_ = op.inputs
    i, c, f, o, g, tanh_c, h = op.outputs
    to_i, dc, to_f, to_o, to_g, to_tanh, dh = upstream
    gates: Tensors = (to_i, to_f, to_g, to_o, to_tanh)
    back: Callable[..., Tensors] = _steps_back
    if all(gate.op.type == "ZerosLike" for gate in gates):  # TensorFlow's "not used"
        gates, back = (), _compiled_back
    kernel, recurrent_kernel = tf.split(joined, [x.shape[-1], h0.shape[-1]])
    saved = (_before(c0, c), i, f, g, o, tanh_c, dh, dc, *gates)
    dx, dh0, dc0, weights, bias = _gradients(
        tf.cast(steps, tf.int32), x, _before(h0, h), kernel, recurrent_kernel, saved, back
    )
    return None, dx, dc0, dh0, weights, None, None, None, bias


def _before(start: tf.Tensor, states: tf.Tensor) -> tf.Tensor:
    """Return what each step found, ``(time, batch, unit)``."""
    return tf.concat([start[tf.newaxis], states[:-1]], 0)


def _gradients(
    steps: tf.Tensor,
    x: tf.Tensor,
    h_before: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    arrays: Tensors,
    back: Callable[..., Tensors],
) -> Tensors:
    """Return the gradients with respect to x, h0, c0, the joined kernels and the bias."""
    if x.shape[0] is None:  # each new length is compiled
        more = _few_lengths(tf.shape(x)[0]) - tf.shape(x)[0]
        arrays = tuple(tf.pad(array, [(0, more), (0, 0), (0, 0)]) for array in arrays)
    # Copies belong to the graph of the gradient, where a second derivative can reach them.
    copies = map(tf.identity, (steps, recurrent_kernel, *arrays))
    dz, dh0, dc0 = back(*copies)
    dz = tf.ensure_shape(dz[: tf.shape(x)[0]], (*x.shape[:2], 4 * recurrent_kernel.shape[0]))
    rows = tf.reshape(dz, (-1, dz.shape[-1]))
    # One large product for both kernels and the bias, whose input is a column of ones.
    found = tf.concat([x, h_before, tf.ones_like(x[..., :1])], -1)
    weights = tf.matmul(tf.reshape(found, (-1, found.shape[-1])), rows, transpose_a=True)
    dx = tf.reshape(tf.matmul(rows, kernel, transpose_b=True), tf.shape(x))
    return dx, dh0, dc0, weights[:-1], weights[-1]


def _few_lengths(steps: tf.Tensor) -> tf.Tensor:
    """Round up to one of the four lengths that there are between a power of two and the next."""
    octave = tf.floor(tf.math.log(tf.cast(steps, tf.float32)) / math.log(2))
    grain = tf.cast(2 ** tf.maximum(octave - 2, 0), tf.int32)
    return (steps + grain - 1) // grain * grain


@tf.custom_gradient
def _compiled_back(steps: tf.Tensor, *arrays: tf.Tensor) -> tuple[Tensors, Callable[..., Any]]:
    """Do what :func:`_steps_back` does, compiled. XLA can't hand over what its gradient needs."""

    def gradient(*upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        found = _steps_back(steps, *arrays)
        return None, *tf.gradients(found, arrays, upstream, unconnected_gradients="zero")

    return _compiled(steps, *arrays), gradient


def _steps_back(
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
    *gates: tf.Tensor,
) -> Tensors:
    """Go back through the first ``steps`` of the time axis; what is behind them is not read.

    ``gates`` are the gradients that reach i, f, g, o and tanh(c) besides; none if none do.

    Returns:
        The gradients with respect to the sums before the activations ``(time, batch, 4 unit)``,
        zero behind ``steps``, and to the states at the start.
    """
    most = tf.shape(i)[0]
    transposed = tf.transpose(recurrent_kernel)
    nothing = tf.zeros_like(dh[0])
    sums = tf.TensorArray(tf.float32, most).unstack(tf.zeros_like(tf.concat([i, f, g, o], -1)))

    def step(t: tf.Tensor, h: tf.Tensor, c: tf.Tensor, sums: tf.TensorArray) -> tuple[Any, ...]:
        to_i, to_f, to_g, to_o, to_tanh = (gate[t] for gate in gates) if gates else [0.0] * 5
        # The cell state reaches the output through tanh(c) and the next step through f.
        h += dh[t]
        c += dc[t] + (h * o[t] + to_tanh) * (1 - tanh_c[t] ** 2)
        dz = [
            (c * g[t] + to_i) * i[t] * (1 - i[t]),
            (c * c_before[t] + to_f) * f[t] * (1 - f[t]),
            (c * i[t] + to_g) * (1 - g[t] ** 2),
            (h * tanh_c[t] + to_o) * o[t] * (1 - o[t]),
        ]
        joined = tf.concat(dz, -1)
        return t - 1, joined @ transposed, c * f[t], sums.write(t, joined)

    _, h, c, sums = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (steps - 1, nothing, nothing, sums),
        maximum_iterations=most,
    )
    return sums.stack(), h, c


_compiled = tf.function(_steps_back, jit_compile=True, autograph=False)
