"""A fast LSTM kernel that keeps every quantity: TensorFlow's fused ``BlockLSTMV2``.

The gradient that TensorFlow registers for the op returns blocks of the weights' gradient in the
wrong places, and the op ``BlockLSTMGradV2`` multiplies the weights' gradient together step by step.
Here a loop compiled by XLA goes back through the steps; the weights' gradient is one product after
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor

from lstm_states.cells import LSTM
from lstm_states.kernels.loops import (
    Tensors,
    pad_steps,
    refuse_exported,
    states_before,
    weights_gradient,
)


def run_lstm(
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
        return refuse_exported(upstream)
    steps, x, c0, h0, joined, *_ = op.inputs
    i, c, f, o, g, tanh_c, h = op.outputs
    to_i, dc, to_f, to_o, to_g, to_tanh, dh = upstream
    gates: Tensors = (to_i, to_f, to_g, to_o, to_tanh)
    back: Callable[..., Tensors] = _steps_back
    if all(gate.op.type == "ZerosLike" for gate in gates):  # TensorFlow's "not used"
        gates, back = (), _compiled_back
    kernel, recurrent_kernel = tf.split(joined, [x.shape[-1], h0.shape[-1]])
    saved = (states_before(c0, c), i, f, g, o, tanh_c, dh, dc, *gates)
    dx, dh0, dc0, weights, bias = _gradients(
        tf.cast(steps, tf.int32), x, states_before(h0, h), kernel, recurrent_kernel, saved, back
    )
    return None, dx, dc0, dh0, weights, None, None, None, bias


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
    if x.shape[0] is None:
        arrays = pad_steps(tf.shape(x)[0], arrays)
    # Copies belong to the graph of the gradient, where a second derivative can reach them.
    copies = map(tf.identity, (steps, recurrent_kernel, *arrays))
    dz, dh0, dc0 = back(*copies)
    dz = tf.ensure_shape(dz[: tf.shape(x)[0]], (*x.shape[:2], 4 * recurrent_kernel.shape[0]))
    rows = tf.reshape(dz, (-1, dz.shape[-1]))
    # One large product for both kernels.
    weights, bias = weights_gradient((x, h_before), dz)
    dx = tf.reshape(tf.matmul(rows, kernel, transpose_b=True), tf.shape(x))
    return dx, dh0, dc0, weights, bias


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
