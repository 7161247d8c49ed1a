"""Measure the outputs of a layer and a head: all steps or the last, under a mask, step by step."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from experiments.shared.evidence import for_each_model
from experiments.shared.stack import (
    distance,
    largest,
    least,
    options,
    recurrent,
    run_layers,
    states_after,
)


@for_each_model(
    given_minus_output=("Input of layer 2 inside the model against output of layer 1", "1"),
    last_minus_h=("Last step of a layer's sequence against its final h", "1"),
    last_minus_c=("Last step of a layer's sequence against its final c", "1"),
    prefix_minus_sequence=("Each step of the sequence against the final h up to that step", "1"),
    steps_with_sequences=("Share of steps that a layer returns with return_sequences=True", "1"),
    steps_without_sequences=("Share of steps that a layer returns without return_sequences", "1"),
    plain_minus_h=("Output of a layer without return_sequences against its final h", "1"),
)
def measure_outputs(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Compare what layers give with their states, by claims 3, 5, 18 and 20."""
    layers = recurrent(model)
    runs = run_layers(model, x)
    length = x.shape[1]
    inside = keras.Model(model.inputs[0], layers[1].input)(x)
    prefixes = {
        steps: states_after(model, x[:, :steps]) for steps in (1, max(1, length // 3), length)
    }
    plain = [_without_sequences(layer, runs[layer.name].given) for layer in layers]
    finals = [runs[layer.name].states for layer in layers]
    sequences = [runs[layer.name].sequence for layer in layers]
    last = [sequence[:, -1] for sequence in sequences]
    return {
        "given_minus_output": distance(inside, sequences[0]),
        "last_minus_h": largest(distance(a, s[0]) for a, s in zip(last, finals, strict=True)),
        "last_minus_c": least(distance(a, s[1]) for a, s in zip(last, finals, strict=True)),
        "prefix_minus_sequence": largest(
            distance(states[layer.name][0], runs[layer.name].sequence[:, steps - 1])
            for steps, states in prefixes.items()
            for layer in layers
        ),
        "steps_with_sequences": min(sequence.shape[1] for sequence in sequences) / length,
        "steps_without_sequences": max(1 if p.ndim == 2 else p.shape[1] for p in plain) / length,
        "plain_minus_h": largest(distance(a, s[0]) for a, s in zip(plain, finals, strict=True)),
    }


def _without_sequences(layer: keras.layers.RNN, given: tf.Tensor) -> np.ndarray:
    with options(layer, return_sequences=False):
        return np.asarray(layer(given))


@for_each_model(
    masked_minus_unpadded=("Last output over padding against that of the bare sequence", "1"),
    zeroed_minus_unpadded=(
        "Last output over padding with zero_output_for_mask=True against that of the bare sequence",
        "1",
    ),
)
def measure_masked_end(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Pad sequences behind and mask the padding, by claim 18."""
    top = recurrent(model)[-1]
    given = run_layers(model, x)[top.name].given
    padded = tf.concat([given, tf.ones_like(given)], axis=1)
    real = np.arange(padded.shape[1]) < given.shape[1]
    mask = tf.convert_to_tensor(np.tile(real, (len(x), 1)))
    bare = _without_sequences(top, given)
    outputs = []
    for zeroed in (False, True):
        with options(top, return_sequences=False, zero_output_for_mask=zeroed):
            outputs.append(np.asarray(top(padded, mask=mask)))
    return {
        "masked_minus_unpadded": distance(outputs[0], bare),
        "zeroed_minus_unpadded": distance(outputs[1], bare),
    }


@for_each_model(
    head_minus_each_step=("The head on all steps against the head on each step alone", "1"),
    other_steps_move=("Move of the output at a step when h changes at all others", "1"),
    wrapped_minus_dense=("TimeDistributed(Dense) against the same Dense without it", "1"),
)
def measure_head(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Apply the head step by step, and change all other steps, by claim 21."""
    head = model.layers[-1]
    hidden = run_layers(model, x)[recurrent(model)[-1].name].sequence
    output = np.asarray(head(hidden))
    steps = range(hidden.shape[1])
    alone = np.concatenate([np.asarray(head(hidden[:, t : t + 1])) for t in steps], axis=1)
    at = hidden.shape[1] // 2
    others = (np.arange(hidden.shape[1]) != at)[:, np.newaxis]
    changed = np.asarray(head(hidden + 0.5 * others))
    dense = head.layer if isinstance(head, keras.layers.TimeDistributed) else head
    return {
        "head_minus_each_step": distance(output, alone),
        "other_steps_move": distance(output[:, at], changed[:, at]),
        "wrapped_minus_dense": distance(output, dense(hidden)),
    }
