"""Run a Keras model once and record each recurrent layer, without changing the model."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from warnings import catch_warnings, filterwarnings

import keras
import numpy as np
import tensorflow as tf

from lstm_states.layers import live_states
from lstm_states.traces.cell_trace import CellTrace, traces_of
from lstm_states.traces.compiled import run_compiled
from lstm_states.traces.derivative import differentiate
from lstm_states.traces.edit_graph import GraphEdits
from lstm_states.traces.edit_plans import CellPlan, Part, Target, check_ran
from lstm_states.traces.intercept import Call, intercepted
from lstm_states.traces.moving import Moving
from lstm_states.traces.probe import judged
from lstm_states.traces.rows import keeps_rows
from lstm_states.traces.select import Selection, describe_selection
from lstm_states.traces.traced_layers import (
    TracedLayer,
    UnsupportedLayerError,
    call_order,
    known_layers,
    select_layers,
    supported_layers,
)


@dataclass(frozen=True, eq=False)
class Recorder:
    """What to record of a model; calling it records one batch.

    Args:
        model: A built model.
        layers: The layers to record, as ``traced_layers.select_layers`` takes them.
        quantities: Names of the quantities wanted, of any kind of cell.
        selection: By ``time`` and ``unit``, which indices are wanted.
        probe: Whether the layers take some steps again to be compared with, which costs more than
            a step of the kernels does. Without it and without ``quantities``, the masks and the
            final states are all that is known of the cells.
        differentiable: Whether derivatives by the quantities are recorded in their place.
        outputs: Whether the model's outputs are wanted.
        missed: By name, why what else ran in the batches so far isn't recorded.
        plans: Edits of cells.
        touched: Of each edit, whether it has touched anything in the batches so far.
    """

    model: keras.Model
    layers: tuple[str, ...] | None
    quantities: tuple[str, ...]
    selection: Selection = field(default_factory=dict)
    probe: bool = True
    differentiable: bool = False
    outputs: bool = True
    missed: dict[str, str] = field(default_factory=dict)
    plans: Sequence[CellPlan] = ()
    touched: list[bool] = field(default_factory=list)

    def __call__(
        self,
        x: Any,
        mask: Any,
        states: Any,
        parts: Sequence[Part],
        live: Moving | None = None,
        started: Mapping[str, Any] | None = None,
        upstream: list[tf.Tensor | None] | None = None,
    ) -> tuple[dict[str, Any], dict[str, CellTrace], Moving]:
        """Record one batch.

        Args:
            x: The model's input, tensors.
            mask: Bool ``(sample, time)`` for the model, or None.
            states: By address of a cell, the states to start from; other cells start as Keras has
                them start.
            parts: Of each edit, where and by what it changes this batch.
            live: What the variables that a call moves shall hold before it; those that aren't in
                it hold what they hold now.
            started: By address of a cell, bool ``(sample,)``, true where the sequence goes on with
                one that had a real step; what isn't named begins here.
            upstream: For a differentiable recorder, the derivatives of the numbers chosen by each
                of the model's outputs, flat; None to be given the outputs and their ``masks``
                alone.

        Returns:
            The model's ``outputs`` if they are wanted; by address what a cell did, of the layers
            asked for and those with ``states``, and of other layers the mask; ``live`` for the
            next batch. Of a differentiable recorder, steps and initial states are derivatives.

        Raises:
            ValueError: if an edit names a step that isn't there.
            TraceError: if an edit has set a value to NaN.
        """
        targets = tuple(plan.target for plan in self.plans)
        # What is compiled of a user's function is kept as long as that one.
        functions = [target.function.there() for target in targets if target.function]
        owner = functions[0] if functions else self.model
        # A tape of the caller's must not differentiate the recording.
        with tf.init_scope(), _in_graphs() if self.differentiable else nullcontext():
            (named, nodes, missed, done), live = run_compiled(
                owner,
                (
                    self.layers,
                    self.quantities,
                    str(describe_selection(self.selection)),
                    self.probe,
                    self.differentiable,
                    self.outputs,
                    targets,
                ),
                lambda: _compile(
                    weakref.ref(self.model),
                    replace(self, model=None, missed={}, plans=(), touched=[]),
                    targets,
                ),
                self.model,
                (x, mask, states, list(parts), started or {}, upstream),
                live or {},
            )
        if self.plans:
            check_ran(self.plans, done["steps"], np.asarray(done["nan"]))
            before = self.touched or [False] * len(self.plans)
            self.touched[:] = np.logical_or(before, done["touched"]).tolist()
        self.missed.update(line.decode().split("\n") for line in np.asarray(missed))
        return named, {address: judged(node) for address, node in nodes.items()}, live


@contextmanager
def _in_graphs() -> Iterator[None]:
    """Have functions compiled, ``tf.config.run_functions_eagerly(True)`` or not.

    By what is inside of them, functions that run eagerly have no gradients.
    """
    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(eagerly)


def check_live_states(model: keras.Model, rows: int) -> None:
    """Refuse a batch of other ``rows`` than the live states have."""
    for variable in live_states(model).values():
        if variable.shape[0] != rows:
            raise ValueError(
                f"a batch has {rows} samples, but model {model.name!r} is stateful for "
                f"{variable.shape[0]}; Keras would broadcast its states silently"
            )


def _compile(
    model_ref: Callable[[], Any], wanted: Recorder, targets: Sequence[Target]
) -> Callable[..., Any]:
    # Keras 3.15's TimeDistributed takes the batch for the time where the length isn't fixed.
    fixed = any(
        isinstance(layer, keras.layers.TimeDistributed) for layer in model_ref()._flatten_layers()
    )
    selection = wanted.selection
    edited = {target.address for target in targets}

    # With fixed lengths, what a selection asks for is checked before anything runs.
    @tf.function(reduce_retracing=not fixed and not selection and not targets, autograph=False)
    def record(x: Any, mask: Any, states: Any, parts: Any, started: Any, upstream: Any) -> Any:
        model = model_ref()
        asked = select_layers(model, wanted.layers)
        # Layers that are only edited, or start from given states, run on the kernels as well.
        traced = {
            address: layer
            for address, layer in supported_layers(model).items()
            if address in asked or not (states.keys() | edited).isdisjoint(layer.cells)
        }
        samples = keras.tree.flatten(x)[0].shape[0]
        edits = GraphEdits(targets, [Part(*own) for own in parts], samples)
        outputs_only = wanted.differentiable and upstream is None
        interception = intercepted(
            *(known_layers(model), traced, states, started, wanted.probe and not outputs_only),
            edits,
            differentiable=upstream is not None,
        )
        with interception as ran, catch_warnings():
            # Keras warns that a mask given to the outermost model doesn't leave it; none needs to.
            filterwarnings("ignore", f"Layer '{re.escape(model.name)}' .*input with a mask")
            outputs = model(x, training=False, **({} if mask is None else {"mask": mask}))
        calls = ran.traced
        if idle := [address for address in asked if not calls[address]]:
            raise UnsupportedLayerError(
                f"layers {idle} are not called in prediction; exclude them with layers=[...]"
            )
        done = _done(edits, traced, calls)
        missed = tf.constant(["\n".join(pair) for pair in ran.watch.missed.items()], tf.string)
        if outputs_only:
            _check_outputs(outputs, samples)
            flat = keras.tree.flatten(outputs)
            own = [getattr(output, "_keras_mask", None) for output in flat]
            return {"outputs": outputs, "masks": own}, {}, missed, done
        calls = _as_written(model, traced, calls)
        named = {}
        if wanted.outputs:
            named["outputs"] = outputs
            _check_outputs(outputs, samples)
        if upstream is not None:
            calls = differentiate(keras.tree.flatten(outputs), upstream, calls)
        nodes: dict[str, CellTrace] = {}
        for address, layer in traced.items():
            what = (wanted.quantities, selection) if address in asked else ((), {})
            nodes.update(traces_of(layer, calls[address], states, *what))
        masks = {id(call.given) for address in asked for call in calls[address]}
        one_mask, kept = tf.constant(len(masks) == 1), keeps_rows(model)
        nodes = {
            address: node._replace(one_mask=one_mask, rows=None if kept else node.rows)
            for address, node in nodes.items()
        }
        if not wanted.probe and not wanted.quantities:  # each tensor takes time to hand over
            nodes = {
                address: CellTrace(node.mask, {}, [], {}, node.final, None, None)
                for address, node in nodes.items()
            }
        for address, real in ran.masks.items():
            nodes[address] = CellTrace(real, {}, [], {}, {}, None, None)
        return named, nodes, missed, done

    # One function a model is meant, so TensorFlow's warning of many functions would mislead.
    record._omit_frequent_tracing_warning = True
    return record


def _done(
    edits: GraphEdits, traced: Mapping[str, TracedLayer], calls: Mapping[str, list[Call]]
) -> dict[str, Any]:
    """Return what became of the edits: what :func:`check_ran` asks for, and ``touched``."""
    if not edits.targets:
        return {}
    steps: dict[str, list[tf.Tensor]] = {}
    for target in edits.targets:
        address = next(a for a, layer in traced.items() if target.address in layer.cells)
        if not calls[address]:
            raise UnsupportedLayerError(
                f"{target.name}: layer {address!r} is not called in prediction"
            )
        steps[target.address] = [tf.shape(call.mask)[1] for call in calls[address]]
    return {"steps": steps, "nan": edits.nan(), "touched": edits.touched()}


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
        # A layer may lose the number of samples, which is then known when it has run.
        if values.shape.rank == 0 or not values.shape[:1].is_compatible_with([samples]):
            raise ValueError(
                f"{name} of the model has shape {tuple(values.shape)} for {samples} samples; its "
                "first axis must be the samples"
            )
