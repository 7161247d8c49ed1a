"""Broadcast flags over values, and take steps of values by their slots."""

from __future__ import annotations

import tensorflow as tf


def spread(flags: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Give ``flags`` axes of 1 behind their own, as many as ``values`` have more."""
    return flags[(..., *[tf.newaxis] * (len(values.shape) - len(flags.shape)))]


def take_slots(values: tf.Tensor, slots: tf.Tensor) -> tf.Tensor:
    """Take from ``values (slot, batch, unit)`` for each row the ``slots (time, batch)``."""
    rows = tf.shape(values)[1]
    flat = tf.reshape(values, (-1, *values.shape[2:]))
    return tf.gather(flat, tf.maximum(slots, 0) * rows + tf.range(rows))
