"""The half-life of a change of c, measured, and predicted from the forget gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from experiments.memory.variants import set_forget_bias
from experiments.shared.stack import nudged, recurrent, run_layers, states_after
from lstm_states import decay
from lstm_states.summary import measure_states
from lstm_states.traces.record import record_traces


def measure_recall(models: Mapping[str, keras.Model], x: np.ndarray) -> xr.Dataset:
    """Change c of one layer in mid-sequence, let everything follow, and see how long it lasts.

    Args:
        models: By name, stacks of LSTM layers of the same depth.
        x: ``(sample, time, feature)``; c is changed after the first half of the steps.

    Returns:
        ``change (model, layer, step)``, how far c is from what it would have been, as the Euclidean
        distance over units, the mean over samples, relative to the change made; ``half_life (model,
        layer)`` in steps, see :func:`half_life`; ``predicted (model, layer)``, what follows from
        the forget gates of the same steps alone, for the median unit ``-ln 2 / mean ln f``.
    """
    middle = x.shape[1] // 2
    curves = np.array([_changes(model, x, middle) for model in models.values()])
    predicted = [_predicted(model, x, middle) for model in models.values()]
    return xr.Dataset(
        {
            "change": (("model", "layer", "step"), curves),
            "half_life": (("model", "layer"), np.apply_along_axis(half_life, -1, curves)),
            "predicted": (("model", "layer"), np.array(predicted)),
        },
        coords={"model": list(models), "layer": np.arange(curves.shape[1]) + 1},
    )


def _changes(model: keras.Model, x: np.ndarray, middle: int) -> list[np.ndarray]:
    start = states_after(model, x[:, :middle])
    runs = run_layers(model, x[:, middle:], start)
    return [_change(la, runs[la.name].given, start[la.name]) for la in recurrent(model)]


def _change(layer: keras.layers.RNN, given: tf.Tensor, start: Sequence[tf.Tensor]) -> np.ndarray:
    """Return how far c is off at each step, ``(step,)``, the first being the change itself."""
    hidden, cell = start
    # Both runs in one batch: as they are and moved.
    states = [tf.concat([hidden, hidden], 0), tf.concat([cell, nudged([cell])[0]], 0)]
    twice = tf.concat([given, given], 0)
    apart = [_apart(states[1])]
    for step in range(given.shape[1]):
        _, states = layer.cell(twice[:, step], states)
        apart.append(_apart(states[1]))
    return np.array(apart) / apart[0]


def _apart(cells: tf.Tensor) -> float:
    still, moved = np.split(np.asarray(cells, np.float64), 2)
    return float(np.linalg.norm(moved - still, axis=-1).mean())


def half_life(change: np.ndarray) -> float:
    """Return after how many steps a change has halved, its logarithm being linear between steps.

    Args:
        change: ``(step,)``, starting with 1.

    Returns:
        Steps; where the change never halves, as many as there are: it lasts at least so long. NaN
        where it is no number on the way.
    """
    return min(decay.half_life(change), float(len(change) - 1))


def _predicted(model: keras.Model, x: np.ndarray, middle: int) -> np.ndarray:
    traces = record_traces(model, x, isel={"time": slice(middle, None)})
    return measure_states(traces)["half_life"].values


def sweep_forget_bias(
    models: Mapping[str, keras.Model], x: np.ndarray, forget_biases: Sequence[float]
) -> xr.Dataset:
    """Measure the recall of single layers at each forget bias.

    Args:
        models: By name, models of one LSTM layer; they are left with the last bias.
        x: ``(sample, time, feature)``.
        forget_biases: Set for all units of the layer, one after the other.

    Returns:
        What :func:`measure_recall` returns, along ``forget_bias``.
    """
    found = []
    for bias in forget_biases:
        for model in models.values():
            set_forget_bias(recurrent(model)[0], bias)
        found.append(measure_recall(models, x))
    return xr.concat(
        found, xr.DataArray(list(forget_biases), dims="forget_bias", name="forget_bias")
    )


def as_half_lives(recall: xr.Dataset, name: str, where: str) -> xr.Dataset:
    """Return half-lives as evidence.

    Args:
        recall: What :func:`measure_recall` returned.
        name: Ending of the measures' names; of a stack, the layer's number is added to it.
        where: What was measured, in words.

    Returns:
        ``recall_half_life_<name>`` and ``predicted_half_life_<name>`` over ``model``.
    """
    most = recall.sizes["step"] - 1
    found = {}
    for layer in recall["layer"].values:
        one = recall.sel(layer=layer, drop=True)
        stack = recall.sizes["layer"] > 1
        ending, which = (
            (f"{name}_layer_{layer}", f"{where}, layer {layer}") if stack else (name, where)
        )
        found[f"recall_half_life_{ending}"] = one["half_life"].assign_attrs(
            long_name=f"Half-life of a change of c, {which} (at most {most})", units="steps"
        )
        found[f"predicted_half_life_{ending}"] = one["predicted"].assign_attrs(
            long_name=f"Half-life of c by the forget gates alone, {which}", units="steps"
        )
    return xr.Dataset(found)


def as_evidence_by_bias(sweep: xr.Dataset) -> xr.Dataset:
    """Return the half-lives at each forget bias as evidence, ``recall_half_life_bias_1`` and so on.

    Args:
        sweep: What :func:`sweep_forget_bias` returned.
    """
    found = []
    for bias in sweep["forget_bias"].values:
        name = f"bias_{bias:g}".replace("-", "minus_")
        at = sweep.sel(forget_bias=bias, drop=True)
        found.append(as_half_lives(at, name, f"forget bias {bias:g}".replace("-", "−")))
    return xr.merge(found)
