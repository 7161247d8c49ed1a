"""Step in where Keras hands a recurrent layer its input, its start and its mask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any

import keras
import tensorflow as tf

from lstm_states.kernels.cells import CellRun, Values, divide_states
from lstm_states.kernels.layer import run_layer
from lstm_states.traces.layers import TracedLayer, UnsupportedLayerError
from lstm_states.traces.probe import probe_run


@dataclass(frozen=True)
class Call:
    """One call of a recurrent layer: what reached it and what it did.

    ``ends`` holds the states it had, nested as Keras nests them, by their place: ``initial`` and
    ``final``. ``given`` is the mask that Keras handed over, or None, ``mask (batch, time)`` true
    where the step is real; ``parts`` and ``added`` are as
    :class:`lstm_states.kernels.layer.LayerRun` describes them; ``errors`` are the probe's.
    """

    ends: dict[str, Any]
    given: tf.Tensor | None
    mask: tf.Tensor
    parts: list[list[CellRun]]
    added: list[list[Values]]
    errors: dict[str, tuple[tf.Tensor, tf.Tensor]]


@contextmanager
def intercepted(
    layers: Mapping[str, TracedLayer],
    states: Mapping[str, Any],
    started: Mapping[str, Any],
    probe: bool,
    *,
    differentiable: bool,
) -> Iterator[dict[str, list[Call]]]:
    """Have the kernels run each layer while the block runs, and note what they did.

    ``inner_loop`` is where Keras hands over the input, start and mask a layer really uses, whatever
    wraps the layer. The attribute set on the instance hides the method, and what was set there
    before, until the block ends.

    Args:
        layers: The layers by address.
        states: By address of a cell, the states to start from; other cells start as Keras has
            them start.
        started: By address of a cell, bool ``(batch,)``, true where the sequence goes on.
        probe: Whether the layers take some steps again to be compared with.
        differentiable: Whether gradients will be taken by what the calls hold.
    """
    calls: dict[str, list[Call]] = {address: [] for address in layers}
    graph, thread = tf.compat.v1.get_default_graph(), threading.get_ident()

    def wrap(traced: TracedLayer, original: Callable[..., Any]) -> Callable[..., Any]:
        def inner_loop(
            sequences: Any, initial_state: Any, mask: Any, training: bool = False
        ) -> Any:
            if threading.get_ident() != thread:  # somebody else calls the model meanwhile
                return original(sequences, initial_state, mask, training=training)
            if training and any(c.dropout or c.recurrent_dropout for c in traced.cells.values()):
                raise UnsupportedLayerError(
                    f"layer {traced.address!r} drops units although the model predicts; what it "
                    "drops is random and can't be traced. Leave it out with layers=[...]"
                )
            if tf.compat.v1.get_default_graph() is not graph:
                raise UnsupportedLayerError(
                    f"layer {traced.address!r} runs inside a loop or a tf.function of the model, "
                    "which nothing can be recorded from; give its wrapper a fixed number of steps"
                )
            start = _start(traced, initial_state, states)
            mask = mask[0] if isinstance(mask, list | tuple) else mask
            mask = None if mask is None else tf.cast(mask, bool)
            _check_stack(traced, mask)
            # All cells of a layer see the same mask.
            going_on = started.get(next(iter(traced.cells)))
            run = run_layer(
                traced.layer, sequences, start, mask, going_on, differentiable=differentiable
            )
            real = tf.ones(tf.shape(sequences)[:2], bool) if mask is None else mask
            errors = probe_run(traced, original, sequences, start, mask, run) if probe else {}
            ends = {"initial": start, "final": run.final}
            calls[traced.address].append(Call(ends, mask, real, run.parts, run.added, errors))
            return run.last, run.outputs, run.final

        return inner_loop

    own = [vars(traced.layer) for traced in layers.values()]
    before = [attributes.get("inner_loop") for attributes in own]
    try:
        for traced, attributes in zip(layers.values(), own, strict=True):
            keras_loop = MethodType(type(traced.layer).inner_loop, traced.layer)
            attributes["inner_loop"] = wrap(traced, keras_loop)
        yield calls
    finally:
        for attributes, earlier in zip(own, before, strict=True):
            attributes.pop("inner_loop", None)
            if earlier is not None:
                attributes["inner_loop"] = earlier


def _start(traced: TracedLayer, initial_state: Any, states: Mapping[str, Any]) -> Any:
    """Put the states asked for in the place of those that Keras hands over."""
    handed = divide_states(traced.cells.values(), initial_state)
    start: list[tf.Tensor] = []
    for (address, cell), own in zip(traced.cells.items(), handed, strict=True):
        # Each is made a tensor of its own: gradients by it stop where the layer starts.
        start += [
            tf.identity(tf.cast(state, cell.compute_dtype)) for state in states.get(address, own)
        ]
    return keras.tree.pack_sequence_as(initial_state, start)


def _check_stack(traced: TracedLayer, mask: tf.Tensor | None) -> None:
    """Keras's loop takes the states of a single stacked cell apart, and fails under a mask."""
    layer = traced.layer
    stack_of_one = isinstance(layer.cell, keras.layers.StackedRNNCells) and len(traced.cells) == 1
    if stack_of_one and mask is not None and not layer.unroll:
        raise UnsupportedLayerError(
            f"layer {traced.address!r} stacks a single cell, which Keras itself can't run under a "
            "mask; give keras.layers.RNN the cell itself, not a list"
        )
