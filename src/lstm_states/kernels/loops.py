"""What the loops of the fused kernels have in common: their lengths, gradients and weights."""

from __future__ import annotations

import math

import tensorflow as tf

Tensors = tuple[tf.Tensor, ...]
"""What a kernel is given and gives."""


def few_lengths(steps: tf.Tensor) -> tf.Tensor:
    """Round up to one of the four lengths that there are between a power of two and the next."""
    octave = tf.floor(tf.math.log(tf.cast(steps, tf.float32)) / math.log(2))
    grain = tf.cast(2 ** tf.maximum(octave - 2, 0), tf.int32)
    return (steps + grain - 1) // grain * grain


def pad_steps(steps: tf.Tensor, arrays: Tensors) -> Tensors:
    """Pad ``arrays (time, batch, unit)`` of ``steps`` to one of few lengths.

    XLA compiles each new length.
    """
    more = few_lengths(steps) - steps
    return tuple(tf.pad(array, [(0, more), (0, 0), (0, 0)]) for array in arrays)


def states_before(start: tf.Tensor, states: tf.Tensor) -> tf.Tensor:
    """Return what each step found, ``(time, batch, unit)``."""
    return tf.concat([start[tf.newaxis], states[:-1]], 0)


def weights_gradient(inputs: Tensors, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the gradients of joined kernels and of the bias, whose input is a column of ones.

    Args:
        inputs: What each kernel multiplied, ``(time, batch, input)``.
        sums: The gradients of what the products and the bias add up to, ``(time, batch, column)``.
    """
    found = tf.concat([*inputs, tf.ones_like(inputs[0][..., :1])], -1)
    left, right = (tf.reshape(array, (-1, array.shape[-1])) for array in (found, sums))
    weights = tf.matmul(left, right, transpose_a=True)
    return weights[:-1], weights[-1]


def refuse_exported(upstream: Tensors) -> Tensors:
    """Be the gradient of a kernel in a SavedModel, whose gradients don't see the operation."""
    message = "an exported model on the fused kernel has no gradient: decelerate before export"
    with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
        return tuple(map(tf.identity, upstream))
