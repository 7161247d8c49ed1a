"""Run the recurrent layers of a stack one by one, through Keras's own `return_state` alone.

Nothing here comes from the tracer: it is what any Keras user can do by hand, so the trials that
stand on it are evidence from outside of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

States = Mapping[str, Sequence[Any]]
"""By the name of each layer its hidden and its cell state, ``(sample, unit)``."""


@dataclass(frozen=True)
class LayerRun:
    """What a layer did when it was called by itself.

    Attributes:
        given: What it read, ``(sample, time, feature)``.
        sequence: What it returned at every step, ``(sample, time, unit)``.
        states: Its hidden and cell state after the last step, ``(sample, unit)`` each.
    """

    given: tf.Tensor
    sequence: tf.Tensor
    states: tuple[tf.Tensor, ...]


def recurrent(model: keras.Model) -> list[keras.layers.RNN]:
    """Return the recurrent layers of a stack, lowest first."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]


def run_layers(model: keras.Model, x: Any, start: States | None = None) -> dict[str, LayerRun]:
    """Call the layers below the head one after the other, each on what the one before gave.

    Args:
        model: Layers in a row; masks go up as Keras hands them on.
        x: ``(sample, time, feature)``.
        start: States to start from; zeros for layers that it leaves out.

    Returns:
        By layer name, lowest layer first.
    """
    runs: dict[str, LayerRun] = {}
    tensor = tf.convert_to_tensor(x, recurrent(model)[0].compute_dtype)
    top = recurrent(model)[-1]
    for layer in model.layers:
        if isinstance(layer, keras.layers.RNN):
            run = _run_layer(layer, tensor, (start or {}).get(layer.name))
            runs[layer.name] = run
            tensor = run.sequence
        elif not isinstance(layer, keras.layers.InputLayer):
            tensor = layer(tensor)
        if layer is top:
            break
    return runs


def _run_layer(layer: keras.layers.RNN, given: tf.Tensor, start: Any) -> LayerRun:
    with options(layer, return_sequences=True, return_state=True):
        state = None if start is None else [tf.convert_to_tensor(s, given.dtype) for s in start]
        sequence, *states = layer(given, initial_state=state)
    return LayerRun(given, sequence, tuple(states))


@contextmanager
def options(layer: keras.layers.RNN, **values: bool) -> Iterator[None]:
    """Have ``layer`` run with other options, such as ``return_sequences=False``."""
    kept = {name: getattr(layer, name) for name in values}
    try:
        for name, value in values.items():
            setattr(layer, name, value)
        yield
    finally:
        for name, value in kept.items():
            setattr(layer, name, value)


def states_after(model: keras.Model, x: Any) -> dict[str, list[tf.Tensor]]:
    """Return the states of all layers after the last step of ``x (sample, time, feature)``."""
    return {name: list(run.states) for name, run in run_layers(model, x).items()}


def distance(a: Any, b: Any) -> float:
    """Return the largest absolute difference of two arrays, infinite if their shapes differ."""
    a, b = np.asarray(a), np.asarray(b)
    return float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")


def largest(values: Iterable[float]) -> float:
    """Return the largest of some distances; NaN if one is no number, which `max` may pass over."""
    return float(np.max(list(values)))


def least(values: Iterable[float]) -> float:
    """Return the least of some distances; NaN if one is no number."""
    return float(np.min(list(values)))


def move(one: Mapping[str, LayerRun], other: Mapping[str, LayerRun], layer: keras.Layer) -> float:
    """Return how far the states of a layer are apart in two runs."""
    pairs = zip(one[layer.name].states, other[layer.name].states, strict=True)
    return largest(distance(a, b) for a, b in pairs)


def nudged(states: Sequence[Any]) -> list[Any]:
    """Return states that are all 0.1 higher."""
    return [state + 0.1 for state in states]


def equal_hidden(
    layer: keras.layers.RNN, one: tuple[Any, Any], other: tuple[Any, Any]
) -> tuple[list[Any], list[Any]]:
    """Return two states to start a step from, after which ``h`` is the same and ``c`` is not.

    With other gates another ``c`` gives the same ``h``. The cell itself is asked for its gates:
    started from c = 0, 1 and 3 it shows ``i g``, ``f + i g`` and ``o tanh(c)``.

    Args:
        layer: An LSTM.
        one: What the layer is given in the step, ``(sample, feature)``, and the hidden state
            before it, ``(sample, unit)``.
        other: The same for the second start; it must give other gates.

    Returns:
        For each the hidden and the cell state before the step.
    """
    written, kept, shown = _gates(layer, *one)
    written_other, kept_other, shown_other = _gates(layer, *other)
    cell = np.random.default_rng(0).uniform(-0.5, 0.5, written.shape)
    cell_other = np.arctanh(shown * np.tanh(cell) / shown_other)
    return (
        [one[1], (cell - written) / kept],
        [other[1], (cell_other - written_other) / kept_other],
    )


def _gates(layer: keras.layers.RNN, x: Any, hidden: Any) -> tuple[np.ndarray, ...]:
    """Return ``i g``, ``f`` and ``o`` of one step, each ``(sample, unit)``."""

    def after(value: float) -> list[np.ndarray]:
        cell = tf.fill(tf.shape(hidden), tf.cast(value, hidden.dtype))
        return [np.asarray(state) for state in layer.cell(x, [hidden, cell])[1]]

    written = after(0.0)[1]
    hidden_high, cell_high = after(3.0)
    return written, after(1.0)[1] - written, hidden_high / np.tanh(cell_high)


@contextmanager
def double_precision() -> Iterator[None]:
    """Have Keras make models in float64, inputs included."""
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def make_models(
    build: Callable[[], keras.Model], weights: Path, seeds: Sequence[int]
) -> dict[str, keras.Model]:
    """Build a stack in double precision with trained weights, and with random ones.

    In double precision rounding is about 1e-16, so "does not move" and "moves a little" are far
    apart. Random biases matter: with Keras's zeros, padding leaves no trace.

    Args:
        build: Returns the stack.
        weights: A ``.weights.h5`` file of it.
        seeds: One stack with random weights for each.

    Returns:
        The stacks by name: ``trained``, ``seed 0`` and so on.

    Raises:
        FileNotFoundError: if there are no such weights.
    """
    if not weights.is_file():
        raise FileNotFoundError(f"{weights} is missing; `dvc repro` makes it")
    with double_precision():
        models = {"trained": build()} | {f"seed {seed}": build() for seed in seeds}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Skipping variable loading for optimizer")
        models["trained"].load_weights(weights)
    for seed in seeds:
        randomise(models[f"seed {seed}"], seed)
    return models


def randomise(model: keras.Model, seed: int, scale: float = 0.3) -> None:
    """Draw all weights of ``model`` from a normal distribution with deviation ``scale``."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(scale=scale, size=w.shape) for w in model.get_weights()])
