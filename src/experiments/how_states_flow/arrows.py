"""Measure which state reaches which layer directly, for the drawing of an unrolled stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from experiments.shared.stack import (
    States,
    distance,
    equal_hidden,
    move,
    nudged,
    recurrent,
    run_layers,
    states_after,
)

TARGETS = ("layer 1", "layer 2", "output")
"""What may be reached in step t."""

STEPS = 3
"""Steps, one after the other, that are looked at."""

Moves = dict[tuple[str, str], float]


def measure_arrows(models: Mapping[str, keras.Model], x: np.ndarray) -> xr.Dataset:
    """Change one state of a stack's two lowest layers at a time; see what moves in the next step.

    Whatever lies between the change and the target is held: an arrow is a direct one.

    Args:
        models: By name, each two LSTM layers or more under a head.
        x: ``(sample, time, feature)``, four steps or more; those looked at are in the middle.

    Returns:
        ``move (model, step, source, target)``: the largest absolute change of the target's states,
        or of the output; NaN where there is nothing to ask. ``t`` in the name of a source is the
        step itself.
    """
    first = x.shape[1] // 2 - 1
    steps = range(first, first + STEPS)
    rows = [[_moves(model, x, step) for step in steps] for model in models.values()]
    sources = list(dict.fromkeys(source for source, _ in rows[0][0]))
    values = [
        [[[row.get((s, t), np.nan) for t in TARGETS] for s in sources] for row in by_step]
        for by_step in rows
    ]
    about = {"long_name": "Move of the target when the source alone changes", "units": "1"}
    return xr.Dataset(
        {"move": (("model", "step", "source", "target"), np.array(values), about)},
        coords={
            "model": list(models),
            "step": np.arange(STEPS),
            "source": sources,
            "target": list(TARGETS),
        },
    )


def _moves(model: keras.Model, x: np.ndarray, number: int) -> Moves:
    lower, upper = recurrent(model)[:2]
    start = states_after(model, x[:, :number])
    step = x[:, number : number + 1]
    base = run_layers(model, step, start)
    moves = {("x(t)", "layer 1"): move(base, run_layers(model, step + 0.1, start), lower)}
    for number, layer in enumerate((lower, upper), start=1):
        for index, state in enumerate(("h", "c")):
            states = [s + 0.1 * (n == index) for n, s in enumerate(start[layer.name])]
            changed = run_layers(model, step, {**start, layer.name: states})
            moves[f"{state}{number}(t-1)", f"layer {number}"] = move(base, changed, layer)
            if layer is upper:
                moves[f"{state}2(t-1)", "layer 1"] = move(base, changed, lower)
    changed = run_layers(model, step, {**start, lower.name: nudged(start[lower.name])})
    moves["h1(t)", "layer 2"] = move(base, changed, upper)
    given, hidden = base[lower.name].given[:, 0], start[lower.name][0]
    for source, other, shift in (
        ("c1(t)", (given, hidden + 0.1), 0.0),
        ("x(t)", (given + 0.1, hidden), 0.1),
    ):
        one, two = equal_hidden(lower, (given, hidden), other)  # h1(t) is held
        first = run_layers(model, step, {**start, lower.name: one})
        second = run_layers(model, step + shift, {**start, lower.name: two})
        moves[source, "layer 2"] = move(first, second, upper)
    if len(recurrent(model)) > 2:
        return moves  # what layer 2 gives goes to layer 3, and not to the output
    return moves | _moves_of_output(model, step, start)


def _moves_of_output(model: keras.Model, step: np.ndarray, start: States) -> Moves:
    upper, head = recurrent(model)[1], model.layers[-1]
    given = run_layers(model, step, start)[upper.name].given[:, 0]
    hidden = tf.convert_to_tensor(start[upper.name][0])
    one, two = equal_hidden(upper, (given, hidden), (given, hidden + 0.1))  # h2(t) is held

    def output(states: Sequence[Any]) -> Any:
        sequence = run_layers(model, step, {**start, upper.name: states})[upper.name].sequence
        return head(sequence if upper.return_sequences else sequence[:, -1])

    return {
        ("h2(t)", "output"): distance(output(one), output(nudged(one))),
        ("c2(t)", "output"): distance(output(one), output(two)),
    }
