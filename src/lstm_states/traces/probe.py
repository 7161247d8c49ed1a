"""Hold what the kernels gave against what the Keras layer itself gives, on a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lstm_states.kernels.cells import divide_states, state_names
from lstm_states.kernels.layer import LayerRun, steps_shown
from lstm_states.traces.layers import TracedLayer

PROBED_STEPS = 16
"""Steps at either end of a batch's first and last sample that the layer itself runs again."""


def probe_run(
    traced: TracedLayer,
    original: Callable[..., Any],
    sequences: tf.Tensor,
    start: Any,
    mask: tf.Tensor | None,
    run: LayerRun,
) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
    """Have the layer itself take the first and the last steps of two samples again.

    Args:
        traced: The layer and its cells.
        original: The layer's own ``inner_loop``.
        sequences: What the layer was given, ``(batch, time, feature)``.
        start: Its start, nested as Keras nests it.
        mask: Its mask ``(batch, time)`` or None.
        run: What the kernels gave for the same arguments.

    Returns:
        By address of a cell, the largest difference of its states (of the last cell also of the
        outputs at real steps) and the largest state, both in absolute value.
    """
    steps = tf.shape(sequences)[1]
    width = tf.minimum(PROBED_STEPS, steps)
    rows = tf.stack([0, tf.shape(sequences)[0] - 1])
    backwards = traced.layer.go_backwards

    def ends(values: tf.Tensor, reverse: bool = False) -> tf.Tensor:
        """The steps taken first and those taken last, ``(4, width, ...)``."""
        pair = values[:, :width], values[:, steps - width :]
        return tf.concat(pair[::-1] if reverse else pair, 0)

    cells = traced.cells.values()
    kept, before = [], []
    for cell, parts, first in zip(cells, run.parts, divide_states(cells, start), strict=True):
        for name, state in zip(state_names(cell), first, strict=True):
            two = [
                # A part may be empty.
                tf.concat([part.rows(end).steps(name, state[end]) for part in parts], 1)[:, end]
                for end in (slice(0, 1), slice(-1, None))
            ]
            values = tf.transpose(tf.concat(two, 1), (1, 0, 2))
            previous = tf.concat([tf.gather(state, rows)[:, tf.newaxis], values], 1)
            kept.append(ends(values))
            before.append(tf.concat([previous[:, 0], previous[:, steps - width]], 0))
    real = None if mask is None else ends(tf.gather(mask, rows), backwards)
    last, outputs, after = original(
        sequences=ends(tf.gather(sequences, rows), backwards),
        initial_state=keras.tree.pack_sequence_as(start, before),
        mask=real,
        training=False,
    )
    recorded = divide_states(cells, kept)
    differences = [
        [_largest(own - values[:, -1]) for own, values in zip(*pair, strict=True)]
        for pair in zip(divide_states(cells, after), recorded, strict=True)
    ]
    if traced.layer.return_sequences:
        shown = outputs - recorded[-1][0]
        if real is not None:
            compared = tf.reverse(real, [1]) if backwards else real
            if traced.layer.zero_output_for_mask:
                compared &= tf.transpose(steps_shown(traced.layer, tf.transpose(compared)))
            shown = tf.where(compared[..., tf.newaxis], shown, tf.zeros_like(shown))
        differences[-1].append(_largest(shown))
    else:
        shown = last - recorded[-1][0][:, -1]
        if real is not None:
            shown = tf.where(
                real[:, :1] if backwards else real[:, -1:], shown, tf.zeros_like(shown)
            )
        differences[-1].append(_largest(shown))
    return {
        address: (tf.reduce_max(error), tf.reduce_max([_largest(values) for values in states]))
        for address, error, states in zip(traced.cells, differences, recorded, strict=True)
    }


def _largest(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(tf.abs(tf.cast(values, tf.float64)))
