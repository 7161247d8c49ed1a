"""Intercept the point where Keras passes input, initial states and mask to a layer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import Any

import keras
import tensorflow as tf

from lstm_states.cells import CUSTOM
from lstm_states.cells.kind import Values
from lstm_states.kernels.cells import divide_states, features_of, kind_of, state_dims
from lstm_states.kernels.layer import HiddenOutputError, LayerRun, run_layer
from lstm_states.kernels.scan import CellRun
from lstm_states.layers import replaced
from lstm_states.traces.edit_graph import GraphEdits, edited_start, edited_steps
from lstm_states.traces.probe import Probe, probe_run
from lstm_states.traces.rows import tell_rows
from lstm_states.traces.traced_layers import TracedLayer, UnsupportedLayerError
from lstm_states.traces.watch import Watch


@dataclass(frozen=True)
class Call:
    """One call of a recurrent layer: what reached it and what it did.

    ``ends`` holds the states it had, nested as Keras nests them, by their place: ``initial`` and
    ``final``. ``given`` is the mask that Keras handed over, or None, ``mask (batch, time)`` true
    where the step is real; ``parts`` and ``added`` are as
    :class:`lstm_states.kernels.layer.LayerRun` describes them; ``rows`` tells the rows of what it
    was given from each other, as :func:`lstm_states.traces.rows.tell_rows`; ``probes`` are by
    address of a cell. ``inputs (time, batch, feature)`` is what each cell was given, in the order
    of its steps. ``edited`` tells of each cell at which steps ``(batch, time)`` one of its
    quantities was edited; it is None of a cell without edits.
    """

    ends: dict[str, Any]
    given: tf.Tensor | None
    mask: tf.Tensor
    parts: list[list[CellRun]]
    added: list[list[Values]]
    inputs: list[tf.Tensor]
    rows: tf.Tensor
    probes: dict[str, Probe]
    edited: list[tf.Tensor | None]


@dataclass(frozen=True)
class Calls:
    """What recurrent layers did, by address.

    ``traced`` holds their calls, in the order in which they ran. ``masks`` are those ``(batch,
    time)`` that the layers were given that aren't traced, and ``watch`` knows what else ran.
    """

    traced: dict[str, list[Call]]
    masks: dict[str, tf.Tensor]
    watch: Watch


@contextmanager
def intercepted(
    known: Mapping[str, keras.layers.RNN],
    layers: Mapping[str, TracedLayer],
    states: Mapping[str, Any],
    started: Mapping[str, Any],
    probe: bool,
    edits: GraphEdits,
    *,
    differentiable: bool,
) -> Iterator[Calls]:
    """Have the kernels run each layer while the block runs, and note what they did.

    ``inner_loop`` is where Keras hands over the input, start and mask a layer really uses, whatever
    wraps the layer. The attribute set on the instance hides the method, and what was set there
    before, until the block ends.

    Args:
        known: All recurrent layers of the model by address.
        layers: Those that are traced; Keras itself runs the others.
        states: By address of a cell, the states to start from; other cells start as Keras has
            them start.
        started: By address of a cell, bool ``(batch,)``, true where the sequence goes on.
        probe: Whether the layers take some steps again to be compared with.
        edits: What is done to quantities of the traced layers.
        differentiable: Whether gradients will be taken by what the calls hold.
    """
    calls = Calls({address: [] for address in layers}, {}, Watch(known, layers))
    # Tensors of a graph within this one (a loop's body, a function) can't be returned from here.
    graph, thread = tf.compat.v1.get_default_graph(), threading.get_ident()

    def run(traced: TracedLayer, sequences: Any, initial_state: Any, mask: Any) -> LayerRun:
        if tf.compat.v1.get_default_graph() is not graph:
            raise UnsupportedLayerError(
                f"layer {traced.address!r} runs inside a loop or a tf.function of the model, "
                "from which nothing can be recorded; give its wrapper a fixed number of steps, or "
                "exclude it with layers=[...]"
            )
        _check_dense(traced, sequences)
        _check_features(traced, sequences)
        mask = None if mask is None else _per_step(traced, mask)
        _check_stack(traced, mask)
        real = _real(sequences, mask)
        changes = edits.of_layer(traced, sequences, real)
        start = edited_start(traced, _start(traced, initial_state, states), changes)
        # All cells of a layer see the same mask.
        going_on = started.get(next(iter(traced.cells)))
        try:
            done = run_layer(
                *(traced.layer, sequences, start, mask, going_on),
                differentiable=differentiable,
                edits=changes,
            )
        except HiddenOutputError as error:
            raise UnsupportedLayerError(f"layer {traced.address!r}: {error}") from None
        # Of the class, not of the instance: there, this very function hides it.
        keras_loop = MethodType(type(traced.layer).inner_loop, _unrolled(traced.layer))
        edited = [edited_steps(own, real) if own else None for own in changes]
        probes = {}
        if probe:
            counts = real if any(changes) else mask
            for place, own in enumerate(changes):
                if own:
                    counts &= ~edited_steps(own, real, inputs=place > 0)
            probes = probe_run(traced, keras_loop, start, counts, done)
        ends = {"initial": start, "final": done.final}
        rows = tell_rows(sequences)
        call = Call(ends, mask, real, done.parts, done.added, done.given, rows, probes, edited)
        calls.traced[traced.address].append(call)
        return done

    def wrap(address: str, original: Callable[..., Any]) -> Callable[..., Any]:
        traced = layers.get(address)

        def inner_loop(
            sequences: Any, initial_state: Any, mask: Any, training: bool = False
        ) -> Any:
            if threading.get_ident() != thread:  # somebody else calls the model meanwhile
                return original(sequences, initial_state, mask, training=training)
            with calls.watch.accounted():
                if traced is None:
                    if tf.compat.v1.get_default_graph() is graph:
                        calls.masks[address] = _real(sequences, _one_mask(mask))
                    return original(sequences, initial_state, mask, training=training)
                if training and any(_drops(cell) for cell in traced.cells.values()):
                    raise UnsupportedLayerError(
                        f"layer {address!r} applies dropout in prediction, which is random "
                        "and can't be traced. Exclude it with layers=[...]"
                    )
                try:
                    done = run(traced, sequences, initial_state, _one_mask(mask))
                except ValueError as error:
                    vars(error)["_keras_call_info_injected"] = True  # the message stays as it is
                    raise
            return done.last, done.outputs, done.final

        return inner_loop

    def prepare(original: Callable[..., Any]) -> Callable[..., Any]:
        """Keras calls the cells of a stack once more, to make the masks of their dropout."""

        def prepared(*arguments: Any) -> None:
            with calls.watch.accounted():
                original(*arguments)

        return prepared

    with ExitStack() as hidden:
        for address, layer in known.items():
            # A layer that isn't traced keeps what stands there, such as the kernel of `accelerate`.
            loop = type(layer).inner_loop.__get__(layer) if address in layers else layer.inner_loop
            masks = layer._maybe_config_dropout_masks
            # A call that is refused half-way leaves its graph's masks in the cells.
            hidden.callback(layer._maybe_reset_dropout_masks, layer.cell)
            hidden.enter_context(replaced(layer, "inner_loop", wrap(address, loop)))
            hidden.enter_context(replaced(layer, "_maybe_config_dropout_masks", prepare(masks)))
        with calls.watch.active():
            yield calls


def _unrolled(layer: keras.layers.RNN) -> keras.layers.RNN:
    """Return a layer that shares all with ``layer``, but takes its steps without a loop.

    Of the probe's single steps a loop would take longer to make than all else. On a GPU the layer
    itself is returned: there ``unroll`` decides whether cuDNN takes the steps.
    """
    if tf.config.list_physical_devices("GPU"):
        return layer
    twin = object.__new__(type(layer))  # another thread may call the layer meanwhile
    vars(twin).update(vars(layer), unroll=True)
    return twin


def _one_mask(mask: Any) -> tf.Tensor | None:
    mask = mask[0] if isinstance(mask, list | tuple) else mask
    return None if mask is None else tf.cast(mask, bool)


def _real(sequences: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    return tf.ones(tf.shape(sequences)[:2], bool) if mask is None else mask


def _drops(cell: keras.Layer) -> bool:
    """Tell whether ``cell`` drops units in training; of one of its own kind nothing is known."""
    known = getattr(cell, "dropout", 0) or getattr(cell, "recurrent_dropout", 0)
    return bool(known) or (kind_of(cell) in CUSTOM and cell._call_has_training_arg)


def _start(traced: TracedLayer, initial_state: Any, states: Mapping[str, Any]) -> Any:
    """Put the states asked for in the place of those that Keras hands over."""
    handed = divide_states(traced.cells.values(), initial_state)
    start: list[tf.Tensor] = []
    for (address, cell), own in zip(traced.cells.items(), handed, strict=True):
        for state, like in zip(states.get(address, own), own, strict=True):
            if len(like.shape) != 1 + len(state_dims(cell)):
                raise UnsupportedLayerError(
                    f"layer {address!r} carries a state of shape {tuple(like.shape)}; that of a "
                    f"{type(cell).__name__} must be (batch, {', '.join(state_dims(cell))})"
                )
            if not like.shape[:1].is_compatible_with(state.shape[:1]):
                raise UnsupportedLayerError(
                    f"layer {address!r} receives {like.shape[0]} rows, not the {state.shape[0]} "
                    "samples of the model: it is unclear which of them initial_state is for"
                )
        # Each is made a tensor of its own: gradients by it stop where the layer starts.
        start += [
            tf.identity(tf.cast(state, cell.compute_dtype)) for state in states.get(address, own)
        ]
    return keras.tree.pack_sequence_as(initial_state, start)


def _check_features(traced: TracedLayer, sequences: tf.Tensor) -> None:
    """Keras's own layers notice in the middle of a step alone that the weights don't fit."""
    features = features_of(next(iter(traced.cells.values())))
    if features is None or len(sequences.shape) != 3:
        return
    if sequences.shape[-1] not in (None, features):
        raise ValueError(
            f"layer {traced.address!r} receives {tuple(sequences.shape)}; its weights expect "
            f"(batch, time, {features})"
        )


def _per_step(traced: TracedLayer, mask: tf.Tensor) -> tf.Tensor:
    """Return ``mask`` as ``(batch, time)``; Keras takes one with a last axis of 1 alike."""
    if mask.shape.rank == 3 and mask.shape[2] == 1:
        return mask[..., 0]
    if mask.shape.rank != 2:
        raise UnsupportedLayerError(
            f"layer {traced.address!r} receives a mask of shape {tuple(mask.shape)}; traces "
            "support only (batch, time), with one value per step"
        )
    return mask


def _check_dense(traced: TracedLayer, sequences: Any) -> None:
    if not isinstance(sequences, tf.Tensor):
        raise UnsupportedLayerError(
            f"layer {traced.address!r} receives a {type(sequences).__name__}, which Keras's "
            "recurrent layers don't accept; make it dense and mask its padding"
        )


def _check_stack(traced: TracedLayer, mask: tf.Tensor | None) -> None:
    """Keras's loop takes the states of a single stacked cell apart, and fails under a mask."""
    layer = traced.layer
    stack_of_one = isinstance(layer.cell, keras.layers.StackedRNNCells) and len(traced.cells) == 1
    if stack_of_one and mask is not None and not layer.unroll:
        raise UnsupportedLayerError(
            f"layer {traced.address!r} stacks a single cell, which Keras itself can't run under a "
            "mask; pass the cell itself to keras.layers.RNN, not a list"
        )
