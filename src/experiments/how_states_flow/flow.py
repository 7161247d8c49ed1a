"""Interventions that show what flows where in a stack: hold one state, change another, look.

Every function takes models by name and ``x (sample, time, feature)`` and returns one number for
each model. Moves are largest absolute changes, in the units of the states, which lie between -1
and 1 for ``h``.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiments.shared.evidence import for_each_model
from experiments.shared.stack import (
    LayerRun,
    States,
    distance,
    equal_hidden,
    largest,
    least,
    move,
    nudged,
    recurrent,
    run_layers,
    states_after,
)


def _halves(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    half = x.shape[1] // 2
    return x[:, :half], x[:, half:]


def _graph_outputs(model: keras.Model, x: np.ndarray) -> list[np.ndarray]:
    """Return what the recurrent layers give inside the model itself."""
    outputs = [keras.tree.flatten(layer.output)[0] for layer in recurrent(model)]
    return [np.asarray(output) for output in keras.Model(model.inputs[0], outputs)(x)]


def _as_given(layer: keras.layers.RNN, run: LayerRun) -> Any:
    """Return the part of what a layer did by itself that it gives inside its model."""
    return run.sequence if layer.return_sequences else run.sequence[:, -1]


@for_each_model(
    alone_minus_stacked=(
        "Layers called one by one against the same layers inside the model: difference",
        "1",
    ),
)
def measure_layers_alone(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Compare the stack with its layers called one after the other, by claim 1."""
    alone = run_layers(model, x)
    stacked = _graph_outputs(model, x)
    layers = recurrent(model)
    pairs = zip(layers, stacked, strict=True)
    return {
        "alone_minus_stacked": largest(
            distance(_as_given(layer, alone[layer.name]), output) for layer, output in pairs
        )
    }


@for_each_model(
    numbers_per_unit=("Numbers passed up per step, for each unit of layer 1", "1"),
    held=("Change of h in layer 1, which should stay fixed", "1"),
    c_below_moves=("Move of layer 2 when c of layer 1 changes at the same step and h is held", "1"),
    h_below_moves=("Move of layer 2 when h of layer 1 changes at the same step", "1"),
    own_past_moves=("Move of layer 2 when its own h and c of the step before change", "1"),
)
def measure_what_rises(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Hold h of layer 1 at one step and change its c, by claims 4, 6 and 17.

    The two states of layer 1 before the step are made so that after it ``h`` is the same in both
    and ``c`` is not: with other gates another ``c`` gives the same ``h``.
    """
    lower, upper = recurrent(model)[:2]
    before, rest = _halves(x)
    start = states_after(model, before)
    step = rest[:, :1]
    given = run_layers(model, step, start)[lower.name].given[:, 0]
    hidden = start[lower.name][0]
    seen, twin = equal_hidden(lower, (given, hidden), (given, hidden + 0.1))
    runs = [run_layers(model, step, {**start, lower.name: s}) for s in (seen, twin)]
    other = run_layers(model, step, {**start, lower.name: [seen[0], seen[1] + 0.5]})
    own = run_layers(
        model, step, {**start, lower.name: seen, upper.name: nudged(start[upper.name])}
    )
    first = runs[0]
    width = first[upper.name].given.shape[-1]
    return {
        "numbers_per_unit": width / lower.cell.units,
        "held": distance(first[lower.name].states[0], runs[1][lower.name].states[0]),
        "c_below_moves": move(first, runs[1], upper),
        "h_below_moves": move(first, other, upper),
        "own_past_moves": move(first, own, upper),
    }


@for_each_model(
    c_zeroed_moves_own_future=("Move of h in a layer's own future when its c is set to 0", "1"),
    c_zeroed_moves_above=("Move of h in layer 2 when c of layer 1 is set to 0", "1"),
    c_zeroed_moves_below=("Move of h in layer 1 when c of layer 2 is set to 0", "1"),
)
def measure_zeroed_cell(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Set c of one layer to zero in mid-sequence and see what changes after it, by claim 10."""
    lower, upper = recurrent(model)[:2]
    before, rest = _halves(x)
    start = states_after(model, before)
    whole = run_layers(model, rest, start)
    moves = {}
    for layer in (lower, upper):
        hidden, cell = start[layer.name]
        cut = run_layers(model, rest, {**start, layer.name: [hidden, tf.zeros_like(cell)]})
        moves[layer.name] = {
            name: distance(run.sequence, cut[name].sequence) for name, run in whole.items()
        }
    return {
        "c_zeroed_moves_own_future": least(moves[la.name][la.name] for la in (lower, upper)),
        "c_zeroed_moves_above": moves[lower.name][upper.name],
        "c_zeroed_moves_below": moves[upper.name][lower.name],
    }


@for_each_model(
    carried_minus_whole=("Two chunks with carried h and c against the whole sequence", "1"),
    h_alone_minus_whole=("Two chunks with h carried and c reset, against the whole", "1"),
    c_alone_minus_whole=("Two chunks with c carried and h reset, against the whole", "1"),
)
def measure_carried(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Cut sequences in two and carry all states, or only some of them, by claim 13."""
    before, rest = _halves(x)
    start = states_after(model, before)
    whole = run_layers(model, x)

    def against(states: States) -> list[float]:
        runs = run_layers(model, rest, states)
        return [
            distance(run.sequence, whole[name].sequence[:, before.shape[1] :])
            for name, run in runs.items()
        ]

    def without(index: int) -> States:
        return {
            name: [tf.zeros_like(s) if n == index else s for n, s in enumerate(states)]
            for name, states in start.items()
        }

    return {
        "carried_minus_whole": largest(against(start)),
        "h_alone_minus_whole": least(against(without(1))),
        "c_alone_minus_whole": least(against(without(0))),
    }


@for_each_model(
    future_moves_h=("Move of h at a step when everything after it changes", "1"),
    past_moves_h=("Least move of the top layer's last h when one step before it changes", "1"),
    past_decay=("Move of the top layer's last h by the first step, over that by the last", "1"),
)
def measure_causality(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Change the future, and each step of the past, and look at h, by claim 7."""
    before, rest = _halves(x)
    changed = np.concatenate([before, rest + 1], axis=1)
    runs, other = run_layers(model, x), run_layers(model, changed)
    until = before.shape[1]
    future = largest(
        distance(run.sequence[:, :until], other[name].sequence[:, :until])
        for name, run in runs.items()
    )
    top = recurrent(model)[-1].name
    length = x.shape[1]
    each = x[:1] + np.eye(length)[:, :, np.newaxis]  # (changed step, time, feature)
    change = run_layers(model, each)[top].sequence[:, -1] - runs[top].sequence[:1, -1]
    moves = np.abs(change).max(axis=1)
    return {
        "future_moves_h": future,
        "past_moves_h": moves.min(),
        "past_decay": moves[0] / moves[-1],
    }


@for_each_model(
    slope_minus_chain=(
        "Slope of layer 2 by x against the product of the slopes through h of layer 1, relative",
        "1",
    ),
)
def measure_chain(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Compare the gradient through the whole stack with the one through h1 alone, by claim 8."""
    lower, upper = recurrent(model)[:2]
    whole = keras.Model(model.inputs[0], upper.output)
    x = tf.convert_to_tensor(x, model.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        output = whole(x)
        target = tf.reduce_sum(output * _direction(output))
    direct = np.asarray(tape.gradient(target, x))
    rises = tf.convert_to_tensor(run_layers(model, x)[lower.name].sequence)
    with tf.GradientTape() as tape:
        tape.watch(rises)
        output = upper(rises)
        target = tf.reduce_sum(output * _direction(output))
    by_hidden = tape.gradient(target, rises)
    with tf.GradientTape() as tape:
        tape.watch(x)
        target = tf.reduce_sum(run_layers(model, x)[lower.name].sequence * by_hidden)
    chained = np.asarray(tape.gradient(target, x))
    return {"slope_minus_chain": float(np.abs(direct - chained).max() / np.abs(direct).max())}


def _direction(output: tf.Tensor) -> tf.Tensor:
    rng = np.random.default_rng(0)
    return tf.convert_to_tensor(rng.normal(size=output.shape), output.dtype)
