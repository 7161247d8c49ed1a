"""Run the recurrent layers of a stack one by one, only through Keras's own `return_state`.

Nothing here uses the tracer: any Keras user can do the same by hand, so that the experiments based
on it are independent evidence.
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
    """The run of a layer that was called alone.

    Attributes:
        given: Its input, ``(sample, time, feature)``.
        sequence: Its output at every step, ``(sample, time, unit)``.
        states: Its hidden and cell state after the last step, ``(sample, unit)`` each.
    """

    given: tf.Tensor
    sequence: tf.Tensor
    states: tuple[tf.Tensor, ...]


def recurrent(model: keras.Model) -> list[keras.layers.RNN]:
    """Return the recurrent layers of a stack, lowest first."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.RNN)]


def run_layers(model: keras.Model, x: Any, start: States | None = None) -> dict[str, LayerRun]:
    """Call the layers below the head one by one, each on the output of the one before.

    Args:
        model: Layers in a row; Keras passes masks up.
        x: ``(sample, time, feature)``.
        start: Initial states by layer; other layers start from zeros.

    Returns:
        The runs by layer name, lowest layer first.
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
    """Run ``layer`` with other options, such as ``return_sequences=False``."""
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
    """Return the largest distance, or NaN if one is NaN, which `max` may ignore."""
    return float(np.max(list(values)))


def least(values: Iterable[float]) -> float:
    """Return the smallest distance, or NaN if one is NaN."""
    return float(np.min(list(values)))


def move(one: Mapping[str, LayerRun], other: Mapping[str, LayerRun], layer: keras.Layer) -> float:
    """Return the distance between the states of a layer in two runs."""
    pairs = zip(one[layer.name].states, other[layer.name].states, strict=True)
    return largest(distance(a, b) for a, b in pairs)


def nudged(states: Sequence[Any]) -> list[Any]:
    """Return the states raised by 0.1."""
    return [state + 0.1 for state in states]


def equal_hidden(
    layer: keras.layers.RNN, one: tuple[Any, Any], other: tuple[Any, Any]
) -> tuple[list[Any], list[Any]]:
    """Return two initial states of a step that lead to the same ``h`` but different ``c``.

    With other gates, another ``c`` leads to the same ``h``. The gates come from the cell itself:
    started from c = 0, 1 and 3, it shows ``i g``, ``f + i g`` and ``o tanh(c)``.

    Args:
        layer: An LSTM.
        one: The input of the step, ``(sample, feature)``, and the hidden state before it,
            ``(sample, unit)``.
        other: The same for the second initial state; its gates must differ.

    Returns:
        For each, the hidden and the cell state before the step.
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
    """Make Keras build models in float64, including their inputs."""
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
    """Build a stack in double precision with trained weights, and stacks with random weights.

    Rounding in double precision is about 1e-16, so that "does not move" differs clearly from "moves
    a little". Random biases matter: with Keras's zero biases, padding has no effect.

    Args:
        build: Returns the stack.
        weights: Its ``.weights.h5`` file.
        seeds: One stack with random weights for each.

    Returns:
        The stacks by name: ``trained``, ``seed 0`` and so on.

    Raises:
        FileNotFoundError: if the weights are missing.
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


def randomise(model: keras.Model, seed: int) -> None:
    """Draw all weights of ``model`` from a normal distribution with deviation 0.3."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(scale=0.3, size=w.shape) for w in model.get_weights()])
