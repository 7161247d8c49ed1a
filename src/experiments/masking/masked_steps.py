"""Measure the output at masked steps: at the start, in the middle and at the end."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from experiments.masking.padding import repeated
from experiments.shared.evidence import for_each_model
from experiments.shared.stack import distance, largest, nudged, options, recurrent, run_layers

LEADING = 2
"""Masked steps in front; as many are masked in the middle and at the end."""

STEPS = 9
"""So many steps leave real ones between."""


@for_each_model(
    masked_minus_last_real=("Output at masked steps against the last one before", "1"),
    leading_output=("Size of the output at leading masked steps, h0 being 0.1", "1"),
    leading_state_moves=("Move of the final h and c when leading masked steps are removed", "1"),
    bidirectional_output=("Size of the output of Bidirectional at masked steps", "1"),
    zeroed_output=("Size of the output at masked steps, zero_output_for_mask=True", "1"),
    final_minus_last_real=("Without return_sequences: output against the last real h", "1"),
    zeroed_final=("Without return_sequences, zero_output_for_mask=True: size of the output", "1"),
)
def measure_masked_steps(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Mask steps in front, in the middle and at the end, for each layer by itself.

    Args:
        model: A stack.
        x: ``(sample, time, feature)``; what the steps hold does not matter, they come again where
            there are fewer than :data:`STEPS`.
    """
    runs = run_layers(model, repeated(x, STEPS))
    rows = [_of_layer(layer, runs[layer.name].given) for layer in recurrent(model)]
    return {name: largest(row[name] for row in rows) for name in rows[0]}


def _of_layer(layer: keras.layers.RNN, given: tf.Tensor) -> dict[str, float]:
    samples, steps = given.shape[:2]
    real = np.ones(steps, bool)
    real[:LEADING] = real[steps // 2 : steps // 2 + LEADING] = real[-LEADING:] = False
    later = np.flatnonzero(~real)[LEADING:]
    start = nudged([tf.zeros((samples, layer.units), given.dtype)] * 2)
    mask = tf.convert_to_tensor(np.tile(real, (samples, 1)))
    with options(layer, return_sequences=True, return_state=True):
        sequence, *states = layer(given, mask=mask, initial_state=start)
        whole = np.asarray(sequence)
        _, *without = layer(given[:, LEADING:], mask=mask[:, LEADING:], initial_state=start)
        with options(layer, zero_output_for_mask=True):
            zeroed = np.asarray(layer(given, mask=mask, initial_state=start)[0])
    with options(layer, return_sequences=False, return_state=False):
        final = layer(given, mask=mask, initial_state=start)
        with options(layer, zero_output_for_mask=True):
            zeroed_final = layer(given, mask=mask, initial_state=start)
    both = np.asarray(_bidirectional(layer)(given, mask=mask))
    return {
        "masked_minus_last_real": distance(whole[:, later], whole[:, later - 1]),
        "leading_output": float(np.abs(whole[:, :LEADING]).max()),
        "leading_state_moves": largest(map(distance, states, without)),
        "bidirectional_output": float(np.abs(both[:, ~real]).max()),
        "zeroed_output": float(np.abs(zeroed[:, ~real]).max()),
        "final_minus_last_real": distance(final, whole[:, np.flatnonzero(real)[-1]]),
        "zeroed_final": float(np.abs(zeroed_final).max()),
    }


def _bidirectional(layer: keras.layers.RNN) -> keras.layers.Bidirectional:
    """Return a layer of the same kind that reads both ways."""
    config = layer.get_config() | {"return_sequences": True, "return_state": False}
    with keras.saving.custom_object_scope({type(layer).__name__: type(layer)}):
        return keras.layers.Bidirectional(type(layer).from_config(config))
