"""Measure the effect of a mask: removed steps and padded sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from experiments.shared.evidence import for_each_model
from experiments.shared.stack import LayerRun, distance, largest, recurrent, run_layers


def mask_value_of(model: keras.Model) -> float:
    """Return the value that marks padding: that of the ``Masking`` layer, 0 without one."""
    values = [la.mask_value for la in model.layers if isinstance(la, keras.layers.Masking)]
    return values[0] if values else 0.0


def lengths_of(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return how many real steps each sequence of ``x (sample, time, feature)`` has."""
    return (x != mask_value_of(model)).any(axis=-1).sum(axis=1)


def unmasked(model: keras.Model) -> keras.Model:
    """Return the same layers without those that mask."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.Masking)]
    return keras.Sequential(layers)


def last_hidden(model: keras.Model, x: np.ndarray) -> tf.Tensor:
    """Return the last h of the top layer, ``(sample, unit)``."""
    return run_layers(model, x)[recurrent(model)[-1].name].states[0]


def run_alone(model: keras.Model, x: np.ndarray) -> list[dict[str, LayerRun]]:
    """Run each sequence of ``x``, padded behind, by itself and without its padding."""
    return [run_layers(model, x[n : n + 1, :end]) for n, end in enumerate(lengths_of(model, x))]


def apart_from_alone(
    runs: Mapping[str, LayerRun], alone: Sequence[Mapping[str, LayerRun]]
) -> float:
    """Return how far the last states in a batch are from those of each sequence by itself."""
    return largest(
        distance(state[n : n + 1], bare[name].states[index])
        for n, bare in enumerate(alone)
        for name, run in runs.items()
        for index, state in enumerate(run.states)
    )


SHORTEST = 3
"""Steps that it takes to have one in the middle."""


def common_steps(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the steps of ``x``, padded behind, that are real in all sequences.

    Where they are fewer than :data:`SHORTEST`, they come again until there are so many.
    """
    return repeated(x[:, : lengths_of(model, x).min()], SHORTEST)


def repeated(x: np.ndarray, steps: int) -> np.ndarray:
    """Return ``x (sample, time, feature)``, one time after the other if it is below ``steps``."""
    return np.tile(x, (1, -(-steps // x.shape[1]), 1))[:, : max(steps, x.shape[1])]


@for_each_model(
    move_of_all_zero_step=("Move of the last h when a step of zeros is removed", "1"),
    move_of_partly_zero_step=("Move of the last h when a step of half zeros is removed", "1"),
    genuine_zero_lost=("Difference of the last h with a step of zeros masked and not masked", "1"),
)
def measure_zero_steps(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Set a step in the middle to the mask's value, whole or in part, and take it out.

    Args:
        model: A stack, with or without a ``Masking`` layer.
        x: ``(sample, time, feature)``, padded behind; the steps that all sequences have are used.
    """
    short = common_steps(model, x)
    middle = short.shape[1] // 2
    value = mask_value_of(model)
    zero, partly = short.copy(), short.copy()
    zero[:, middle] = value
    partly[:, middle, ::2] = value
    without = last_hidden(model, np.delete(short, middle, axis=1))
    return {
        "move_of_all_zero_step": distance(last_hidden(model, zero), without),
        # Of a single feature there is no half.
        "move_of_partly_zero_step": distance(last_hidden(model, partly), without)
        if x.shape[-1] > 1
        else float("nan"),
        "genuine_zero_lost": distance(last_hidden(model, zero), last_hidden(unmasked(model), zero)),
    }


@for_each_model(
    padded_minus_bare=("Last h and c of all layers, padded in a batch against alone", "1"),
    loss_padded_minus_bare=("Keras's loss per step over the padded batch against alone", "1"),
)
def measure_padding(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Run sequences padded in one batch and each by itself.

    Args:
        model: A stack, with or without a ``Masking`` layer.
        x: ``(sample, time, feature)``, padded behind with the mask's value.
    """
    lengths = lengths_of(model, x)
    padded, alone = run_layers(model, x), run_alone(model, x)
    top = recurrent(model)[-1].name
    losses = [_loss(bare[top]) for bare in alone]
    together = float(np.average(losses, weights=lengths))
    return {
        "padded_minus_bare": apart_from_alone(padded, alone),
        "loss_padded_minus_bare": abs(_loss(padded[top]) - together),
    }


def _loss(run: LayerRun) -> float:
    """Return Keras's mean squared error of a layer's h at every step against 1."""
    loss = keras.losses.MeanSquaredError(dtype=run.sequence.dtype.name)
    return float(loss(tf.ones_like(run.sequence), run.sequence))
