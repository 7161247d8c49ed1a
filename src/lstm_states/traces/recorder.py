"""Run a Keras model once and note what each recurrent layer did, without changing the model."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from warnings import catch_warnings, filterwarnings

import keras
import numpy as np
import tensorflow as tf

from lstm_states.kernels.cells import CellRun, divide_states, state_names
from lstm_states.traces.derivative import Output, choose, differentiate, only_number
from lstm_states.traces.intercept import Call, intercepted
from lstm_states.traces.layers import (
    RNN,
    TracedLayer,
    UnsupportedLayerError,
    call_order,
    select_layers,
    supported_layers,
)
from lstm_states.traces.select import Selection, describe_selection, take


@dataclass(frozen=True, eq=False)
class Recorder:
    """What to record of a model; calling it records one batch.

    Args:
        model: A built model.
        layers: The layers to record, as :func:`lstm_states.traces.layers.select_layers` takes them.
        quantities: Names of the quantities wanted, of any kind of cell.
        selection: By ``time`` and ``unit``, which indices are wanted.
        probe: Whether the layers take some steps again to be compared with, which costs more than
            a step of the kernels does.
        output: None to record the quantities themselves; otherwise what makes of the model's
            outputs the numbers ``(sample,)`` whose derivatives by the quantities are recorded.
    """

    model: keras.Model
    layers: tuple[str, ...] | None
    quantities: tuple[str, ...]
    selection: Selection = field(default_factory=dict)
    probe: bool = True
    output: Output | None = None

    def __call__(
        self,
        x: Any,
        mask: Any,
        states: Any,
        live: list[tf.Tensor],
        started: Mapping[str, Any] | None = None,
    ) -> Any:
        """Record one batch.

        Args:
            x: The model's input, tensors.
            mask: Bool ``(sample, time)`` for the model, or None.
            states: By address of a cell, the states to start from; other cells start as Keras has
                them start.
            live: Values for the variables that :func:`live_states` lists.
            started: By address of a cell, bool ``(sample,)``, true where the sequence goes on with
                one that had a real step; what isn't named begins here.

        Returns:
            The model's ``outputs``, with an ``output`` also the numbers ``chosen``; by address what
            a cell did, of all layers that can be traced; the live states after the batch. What a
            cell did is a dict: ``steps`` by quantity (of the layers asked for) a list of
            ``(slot, part of the batch, unit)``, ``slots`` for each part as in
            :class:`lstm_states.kernels.cells.CellRun`, ``initial`` and ``final`` states by name,
            ``mask``, ``one_mask`` if all layers asked for have the same, indices ``time`` and
            ``unit`` of what is kept, ``error`` and ``peak`` of the probe if there was one. With an
            ``output``, ``steps`` and initial states are derivatives, and final states are left
            out: they are what is carried at the last step.
        """
        with _ONE_AT_A_TIME:
            return self._compiled()(x, mask, states, live, started or {})

    def _compiled(self) -> Callable[..., Any]:
        """Return the compiled function for this model as it is now, compiled once.

        It is kept as long as the model lives; one for a user's output, of which there may be any
        number, as long as the recorder.
        """
        kept = self.output in (None, only_number)
        functions = _COMPILED.setdefault(self.model if kept else self, {})
        key = (
            self.layers,
            self.quantities,
            str(describe_selection(self.selection)),
            self.probe,
            self.output,
            _structure(self.model),
        )
        if key not in functions:
            what = (self.layers, self.quantities, self.selection, self.probe, self.output)
            functions[key] = _compile(weakref.ref(self.model), *what)
        return functions[key]


_ONE_AT_A_TIME = threading.RLock()
"""While a model is compiled its layers are stepped in for."""

_COMPILED: weakref.WeakKeyDictionary[Any, dict] = weakref.WeakKeyDictionary()


def live_states(model: keras.Model) -> list[keras.Variable]:
    """Return the variables in which the stateful layers of ``model`` carry their states."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, RNN)]
    return keras.tree.flatten([layer.states for layer in layers if layer.stateful])


def live_values(model: keras.Model) -> list[tf.Tensor]:
    """Return what the variables of :func:`live_states` hold now."""
    return [tf.convert_to_tensor(variable.value) for variable in live_states(model)]


def _structure(model: keras.Model) -> tuple:
    """What a compiled function keeps as it was: the layers and their public attributes.

    Variables are read anew at each call. What a layer's code takes from elsewhere isn't seen.
    """
    return tuple(
        (id(layer), *((k, _plain(value)) for k, value in vars(layer).items() if k[0] != "_"))
        for layer in model._flatten_layers()
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tobytes()
    plain = isinstance(value, int | float | str | np.generic | None) or callable(value)
    return value if plain and not isinstance(value, keras.Layer) else id(value)


def _compile(
    model_ref: Callable[[], Any],
    layers: tuple[str, ...] | None,
    quantities: tuple[str, ...],
    selection: Selection,
    probe: bool,
    output: Output | None,
) -> Callable[..., Any]:
    # Keras 3.15's TimeDistributed takes the batch for the time where the length isn't fixed.
    fixed = any(
        isinstance(layer, keras.layers.TimeDistributed) for layer in model_ref()._flatten_layers()
    )
    differentiable = output is not None

    # With fixed lengths, what a selection asks for is checked before anything runs.
    @tf.function(reduce_retracing=not fixed and not selection, autograph=False)
    def record(x: Any, mask: Any, states: Any, live: list[tf.Tensor], started: Any) -> Any:
        model = model_ref()
        traced = supported_layers(model)
        wanted = select_layers(model, layers)
        variables = live_states(model)
        scope = keras.StatelessScope(state_mapping=zip(variables, live, strict=True))
        # The scope catches every assignment, so live states and counters stay as they are.
        interception = intercepted(traced, states, started, probe, differentiable=differentiable)
        with scope, interception as calls, catch_warnings():
            # Keras warns that a mask given to the outermost model doesn't leave it; none needs to.
            filterwarnings("ignore", f"Layer '{re.escape(model.name)}' .*input with a mask")
            outputs = model(x, training=False, **({} if mask is None else {"mask": mask}))
        if idle := [address for address in wanted if not calls[address]]:
            raise UnsupportedLayerError(
                f"layers {idle} are not called when the model predicts; leave them out with "
                "layers=[...]"
            )
        calls = _as_written(model, traced, calls)
        named = {"outputs": outputs}
        if output is not None:
            named["chosen"] = choose(output, outputs, keras.tree.flatten(x)[0].shape[0])
            calls = differentiate(named["chosen"], calls)
        nodes = {}
        for address, layer in traced.items():
            what = (quantities, selection) if address in wanted else ((), {})
            nodes.update(_nodes(layer, calls[address], states, *what))
        masks = {id(call.given) for address in wanted for call in calls[address]}
        for node in nodes.values():
            node["one_mask"] = tf.constant(len(masks) == 1)
        after = [scope.get_current_value(variable) for variable in variables]
        _check_outputs(outputs, keras.tree.flatten(x)[0].shape[0])
        return named, nodes, after

    # One function a model is meant, so TensorFlow's warning of many functions would mislead.
    record._omit_frequent_tracing_warning = True
    return record


def _as_written(
    model: keras.Model, traced: Mapping[str, TracedLayer], calls: Mapping[str, list[Call]]
) -> dict[str, list[Call]]:
    """Put the calls of each layer in the order in which they are written."""
    return {
        address: [own[n] for n in call_order(model, traced[address].layer, len(own))]
        for address, own in calls.items()
    }


def _check_outputs(outputs: Any, samples: int | None) -> None:
    """Refuse outputs that don't have one entry per sample: they couldn't be put together."""
    for path, values in keras.tree.flatten_with_path(outputs):
        name = "_".join(["outputs", *map(str, path)])
        if len(values.shape) == 0 or samples not in (None, values.shape[0]):
            raise ValueError(
                f"{name} of the model has shape {tuple(values.shape)} for {samples} samples; its "
                "first axis must be the samples"
            )


def _nodes(
    traced: TracedLayer,
    calls: Sequence[Call],
    states: Mapping[str, Any],
    quantities: Sequence[str],
    selection: Selection,
) -> dict[str, dict[str, Any]]:
    """Return what the cells of a layer did by address, as :class:`Recorder` describes it."""
    if len(calls) > 1 and set(traced.cells) & set(states):
        raise UnsupportedLayerError(
            f"layer {traced.address!r} is called {len(calls)} times in one pass: initial_state "
            "can't say which of them it is for"
        )
    nodes = {}
    for number, call in enumerate(calls):
        ends = {k: divide_states(traced.cells.values(), s) for k, s in call.ends.items()}
        for place, (address, cell) in enumerate(traced.cells.items()):
            own = {
                end: dict(zip(state_names(cell), divided[place], strict=True))
                for end, divided in ends.items()
            }
            node = _node(traced, call, call.parts[place], own, quantities, selection)
            if call.errors:
                node |= dict(zip(("error", "peak"), call.errors[address], strict=True))
            nodes[address if len(calls) == 1 else f"{address}/call_{number}"] = node
    return nodes


def _node(
    traced: TracedLayer,
    call: Call,
    parts: list[CellRun],
    ends: Mapping[str, Mapping[str, tf.Tensor]],
    quantities: Sequence[str],
    selection: Selection,
) -> dict[str, Any]:
    def units(values: tf.Tensor, axis: int) -> tf.Tensor:
        return take(values, axis, selection.get("unit"), f"unit of layer {traced.address!r}")

    def times(values: tf.Tensor, axis: int) -> tf.Tensor:
        return take(values, axis, selection.get("time"), f"step of layer {traced.address!r}")

    names = [name for name in parts[0].values if name in quantities]
    size, width = tf.shape(call.mask)[1], next(iter(ends["initial"].values())).shape[1]
    return {
        "steps": {name: [_full(units(run.values[name], 2)) for run in parts] for name in names},
        "slots": [run.slots for run in parts],
        **{
            end: {name: _full(units(state, 1)) for name, state in ends.get(end, {}).items()}
            for end in ("initial", "final")
        },
        "mask": call.mask,
        "time": times(tf.range(size), 0),
        "unit": units(tf.range(width), 0),
    }


def _full(values: tf.Tensor) -> tf.Tensor:
    """Keep half precision as float32, which holds every value of it."""
    return tf.cast(values, tf.float32) if values.dtype in (tf.float16, tf.bfloat16) else values
