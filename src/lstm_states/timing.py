"""Time two ways to run recurrent layers on the inputs that reach them in a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from time import perf_counter
from types import MethodType
from typing import Any

import keras
import tensorflow as tf

from lstm_states.layers import replaced

Loop = Callable[..., Any]
"""Does what the ``inner_loop`` of a layer does; its first argument is the layer."""

ROUNDS = 9
"""How often each way is timed, in turns with the other."""


def measure_ratios(
    model: keras.Model, x: Any, layers: Iterable[keras.layers.RNN], fast: Loop
) -> dict[keras.layers.RNN, float]:
    """Return the time of ``fast`` over that of Keras's own loop: going forward and back once.

    The model is called once, which moves none of its states or seeds.

    Args:
        model: What holds the layers.
        x: A batch of inputs.
        layers: The layers to time.
        fast: The other loop.

    Returns:
        The median ratio of each layer that the model calls.
    """
    with _noted(layers) as calls, keras.StatelessScope():
        model(keras.tree.map_structure(keras.ops.convert_to_tensor, x), training=False)
    return {layer: _ratio(layer, fast, given) for layer, given in calls.items()}


@contextmanager
def _noted(layers: Iterable[keras.layers.RNN]) -> Iterator[dict[keras.layers.RNN, Sequence[Any]]]:
    """Yield what the first call of each layer hands to its loop: sequences, states and mask."""
    calls: dict[keras.layers.RNN, Sequence[Any]] = {}

    def note(
        layer: keras.layers.RNN, sequences: Any, initial_state: Any, mask: Any, **options: Any
    ) -> Any:
        calls.setdefault(layer, (sequences, initial_state, mask))
        return type(layer).inner_loop(layer, sequences, initial_state, mask, **options)

    with ExitStack() as hidden:
        for layer in layers:
            hidden.enter_context(replaced(layer, "inner_loop", MethodType(note, layer)))
        yield calls


def _ratio(layer: keras.layers.RNN, fast: Loop, given: Sequence[Any]) -> float:
    ways = [_forward_and_back(layer, loop) for loop in (fast, type(layer).inner_loop)]
    for way in ways:  # traced and compiled
        way(*given)
    taken = [[_seconds(way, given) for way in ways] for _ in range(ROUNDS)]
    return median(fast / own for fast, own in taken)


def _forward_and_back(layer: keras.layers.RNN, loop: Loop) -> Callable[..., Any]:
    weights = [variable.value for variable in layer.trainable_variables]

    @tf.function(autograph=False)
    def run(sequences: tf.Tensor, states: Any, mask: tf.Tensor | None) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(sequences)
            last, outputs, _ = loop(layer, sequences, states, mask, training=False)
            total = tf.reduce_sum(outputs if layer.return_sequences else last)
        return tape.gradient(total, [sequences, *weights])

    return run


def _seconds(way: Callable[..., Any], given: Sequence[Any]) -> float:
    start = perf_counter()
    way(*given)
    return perf_counter() - start
