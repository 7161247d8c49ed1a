"""A fast GRU kernel that keeps every quantity: loops compiled by XLA, forward and back.

TensorFlow has no operation for a whole sequence. The products with the inputs are made for all
steps at once before the loop, and the weights' gradients after the loop that goes back. The loop
forward doesn't keep the candidates: XLA cuts a loop of one more operation among threads, and the
parts of a batch wait for each other where an operation has a single thread. Who reads them, as the
way back does, makes them again.

Short names: z, r and g are the update gate, the reset gate and the candidate; ``gates`` holds z and
r, ``(time, batch, 2 unit)``; ``sums`` holds what the inputs add to what z, r and g are the
activations of, ``(time, batch, 3 unit)``. With ``reset_after``, q is the product of the state
before a step, of which g sees ``r * q``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from lstm_states.cells import GRU
from lstm_states.kernels.loops import (
    Tensors,
    pad_steps,
    refuse_exported,
    states_before,
    weights_gradient,
)


def run_gru(
    names: tuple[str, ...],
    x: tf.Tensor,
    h0: tf.Tensor,
    kernel: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    bias: tf.Tensor,
    steps: tf.Tensor,
) -> Tensors:
    """Return the quantities of these names, ``(time, batch, unit)``.

    ``bias`` has two rows with ``reset_after``, of which the second belongs to ``recurrent_kernel``.
    All steps of ``x`` are taken, not only the first ``steps``, which are read: under
    ``tf.vectorized_map`` these differ, and TensorFlow can't differentiate loops of different
    lengths that it has put side by side.
    """
    length = tf.shape(x)[0]
    of_inputs, *of_state = tf.unstack(bias) if len(bias.shape) == 2 else [bias]
    rows = tf.reshape(x, (-1, x.shape[-1])) @ kernel + of_inputs
    sums = tf.reshape(rows, (*tf.unstack(tf.shape(x)[:2]), 3 * h0.shape[-1]))
    sums = tf.ensure_shape(sums, (*x.shape[:2], 3 * h0.shape[-1]))
    given = h0, recurrent_kernel, *of_state
    if x.shape[0] == 1:  # a loop would take long to compile
        h, gates = (value[tf.newaxis] for value in _step(sums[0], *given))
    elif x.shape[0] is None:
        values = _kernel(length, *pad_steps(length, (sums,)), *given)
        h, gates = (tf.ensure_shape(value[:length], (*x.shape[:2], None)) for value in values)
    else:
        h, gates = _kernel(length, sums, *given)
    z, r = tf.split(gates, 2, axis=-1)
    g, *_ = _candidates(sums, states_before(h0, h), r, *given[1:])
    found = dict(zip(GRU.quantities, (h, z, r, g), strict=True))
    return tuple(found[name] for name in names)


def _step(
    sums: tf.Tensor, h: tf.Tensor, recurrent_kernel: tf.Tensor, *bias: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Take one step: return h and the gates. With ``reset_after`` there is a ``bias``."""
    units = h.shape[-1]
    of_gates, of_g = recurrent_kernel[:, : 2 * units], recurrent_kernel[:, 2 * units :]
    products = h @ recurrent_kernel + bias[0] if bias else h @ of_gates
    gates = tf.sigmoid(sums[:, : 2 * units] + products[:, : 2 * units])
    z, r = gates[:, :units], gates[:, units:]
    g = tf.tanh(sums[:, 2 * units :] + (r * products[:, 2 * units :] if bias else (r * h) @ of_g))
    return z * h + (1 - z) * g, gates


def _candidates(
    sums: tf.Tensor,
    before: tf.Tensor,
    r: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    *bias: tf.Tensor,
) -> Tensors:
    """Return g of all steps, and with ``reset_after``, where there is a ``bias``, q.

    ``before`` holds the state that each step found; all are ``(time, batch, unit)``.
    """
    units = before.shape[-1]
    of_g, seen = recurrent_kernel[:, 2 * units :], before if bias else r * before
    products = tf.reshape(tf.reshape(seen, (-1, units)) @ of_g, tf.shape(seen))
    products = tf.ensure_shape(products, seen.shape)
    if not bias:
        return (tf.tanh(sums[..., 2 * units :] + products),)
    products += bias[0][2 * units :]
    return tf.tanh(sums[..., 2 * units :] + r * products), products


def _loop(steps: tf.Tensor, sums: tf.Tensor, h0: tf.Tensor, *weights: tf.Tensor) -> Tensors:
    """Take the first ``steps``; what is behind them is not read.

    Returns:
        What :func:`_step` does, ``(time, batch, unit)`` and ``(time, batch, 2 unit)``.
    """
    most, units = tf.shape(sums)[0], h0.shape[-1]
    # Slices of one array would cost its whole size in the gradient of each step.
    given = tf.TensorArray(tf.float32, most).unstack(sums)
    nothing = [tf.zeros_like(sums[..., :size]) for size in (units, 2 * units)]
    arrays = [tf.TensorArray(tf.float32, most).unstack(values) for values in nothing]

    def step(t: tf.Tensor, h: tf.Tensor, *arrays: tf.TensorArray) -> tuple[Any, ...]:
        values = _step(given.read(t), h, *weights)
        return t + 1, values[0], *(a.write(t, v) for a, v in zip(arrays, values, strict=True))

    start = (0, h0, *arrays)
    _, _, *arrays = tf.while_loop(lambda t, *_: t < steps, step, start, maximum_iterations=most)
    return tuple(array.stack() for array in arrays)


_compiled_loop = tf.function(_loop, jit_compile=True, autograph=False)


def _steps_back(
    steps: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    dh: tf.Tensor,
    before: tf.Tensor,
    gates: tf.Tensor,
    g: tf.Tensor,
    *q: tf.Tensor,
) -> Tensors:
    """Go back through the first ``steps``.

    ``dh`` holds the gradients that reach the hidden states from outside, ``before`` the state that
    each step found; the gates, g and q are what it made of it.

    Returns:
        The gradients with respect to the sums, zero behind ``steps``, and to the state at the
        start.
    """
    most, units = tf.shape(g)[0], g.shape[-1]
    z, r = gates[..., :units], gates[..., units:]
    transposed = tf.transpose(recurrent_kernel)
    sums = tf.TensorArray(tf.float32, most).unstack(tf.zeros_like(tf.concat([gates, g], -1)))

    def step(t: tf.Tensor, h: tf.Tensor, sums: tf.TensorArray) -> tuple[Any, ...]:
        h += dh[t]
        dz = h * (before[t] - g[t]) * z[t] * (1 - z[t])
        dg = h * (1 - z[t]) * (1 - g[t] ** 2)
        slope = r[t] * (1 - r[t])
        if q:
            dr = dg * q[0][t] * slope
            h = h * z[t] + tf.concat([dz, dr, dg * r[t]], -1) @ transposed
        else:
            seen = dg @ transposed[2 * units :]
            dr = seen * before[t] * slope
            h = h * z[t] + seen * r[t] + tf.concat([dz, dr], -1) @ transposed[: 2 * units]
        return t - 1, h, sums.write(t, tf.concat([dz, dr, dg], -1))

    start = (steps - 1, tf.zeros_like(dh[0]), sums)
    _, h, sums = tf.while_loop(lambda t, *_: t >= 0, step, start, maximum_iterations=most)
    return sums.stack(), h


_compiled_back = tf.function(_steps_back, jit_compile=True, autograph=False)

_GRADIENT = "LSTMStatesGRU"


def _kernel(*arguments: tf.Tensor) -> Tensors:
    """Do what :func:`_loop` does, compiled. What carries the gradient passes all on as it is."""
    values = _compiled_loop(*arguments)
    graph = tf.compat.v1.get_default_graph()
    with graph.gradient_override_map({"IdentityN": _GRADIENT}):
        return tuple(tf.raw_ops.IdentityN(input=[*values, *arguments])[: len(values)])


@tf.RegisterGradient(_GRADIENT)
def _gradient(op: tf.Operation | None, *upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
    """Return the gradients of :func:`_kernel` by the inputs of what carries them.

    TensorFlow can't differentiate what XLA has compiled. What is asked for rarely, gradients
    through the gates and gradients of gradients, is left to the plain loop, which can be
    differentiated in any order. Where TensorFlow copies operations one by one, as
    ``tf.vectorized_map`` does, it drops this gradient together with the compilation, and
    differentiates the plain loops likewise.
    """
    if op is None:  # a SavedModel is written
        return refuse_exported(upstream)
    # Copies belong to the graph of the gradient, where a second derivative can reach them.
    # The values are those that carry this gradient: where a function is differentiated again,
    # TensorFlow asks for the gradient by each value that its first gradient reads.
    h, gates = map(tf.identity, op.outputs[:2])
    arguments = [tf.identity(argument) for argument in op.inputs[2:]]
    dh, dgates = upstream[:2]
    if dgates.op.type == "ZerosLike":  # TensorFlow's "not used"
        found = _compiled_gradient(tf.identity(dh), h, gates, *arguments)
    else:
        found = _plain_gradient(arguments, (dh, dgates))
    return None, None, None, *found


def _plain_gradient(arguments: Sequence[tf.Tensor], upstream: Tensors) -> Tensors:
    """Return the gradients by what :func:`_loop` is given but the number of steps."""
    values = _loop(*arguments)[: len(upstream)]
    found = tf.gradients(values, arguments[1:], upstream, unconnected_gradients="zero")
    return tuple(found)


@tf.custom_gradient
def _compiled_gradient(
    dh: tf.Tensor, h: tf.Tensor, gates: tf.Tensor, *arguments: tf.Tensor
) -> tuple[Tensors, Callable[..., Any]]:
    """Do what :func:`_plain_gradient` does, compiled, from the values that are known."""

    def gradient(*upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        found = _plain_gradient(arguments, (dh,))
        sources = dh, *arguments[1:]
        to_dh, *others = tf.gradients(found, sources, upstream, unconnected_gradients="zero")
        return to_dh, None, None, None, *others

    return _gradients(dh, h, gates, *arguments), gradient


def _gradients(
    dh: tf.Tensor,
    h: tf.Tensor,
    gates: tf.Tensor,
    steps: tf.Tensor,
    sums: tf.Tensor,
    h0: tf.Tensor,
    recurrent_kernel: tf.Tensor,
    *bias: tf.Tensor,
) -> Tensors:
    """Go back through the steps, and multiply the gradients of the weights together."""
    before, columns = states_before(h0, h), 2 * h0.shape[-1]
    r = gates[..., columns // 2 :]
    g, *q = _candidates(sums, before, r, recurrent_kernel, *bias)
    dsums, dh0 = _compiled_back(steps, recurrent_kernel, dh, before, gates, g, *q)
    dsums = tf.ensure_shape(dsums, (*h.shape[:2], recurrent_kernel.shape[1]))
    to_gates, to_g = dsums[..., :columns], dsums[..., columns:]
    if bias:
        return dsums, dh0, *weights_gradient((before,), tf.concat([to_gates, to_g * r], -1))
    pairs = (before, to_gates), (r * before, to_g)
    kernels = [weights_gradient((inputs,), rows)[0] for inputs, rows in pairs]
    return dsums, dh0, tf.concat(kernels, -1)
