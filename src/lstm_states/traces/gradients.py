"""Record the derivatives of a model's output with respect to every state and gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xarray as xr
from tqdm.auto import tqdm

from lstm_states.proof.refusals import TraceError
from lstm_states.traces.batches import count_samples, is_stream, rows_of, stream_items
from lstm_states.traces.derivative import Output, choose, compiled_loss, only_number
from lstm_states.traces.edit import Edit
from lstm_states.traces.recorder import Recorder
from lstm_states.traces.recording import gather
from lstm_states.traces.request import Request, check_request
from lstm_states.traces.traced_layers import (
    UnsupportedLayerError,
    Wanted,
    cells_of_all,
    supported_layers,
)

EXACT = ("float32", "float64")


def record_gradients(
    model: keras.Model,
    x: Any,
    *,
    y: Any = None,
    sample_weight: Any = None,
    output: Output | str | None = None,
    mask: np.ndarray | None = None,
    initial_state: Mapping[str, Any] | None = None,
    layers: Wanted = None,
    quantities: Sequence[str] | str | None = None,
    isel: Mapping[str, slice | Sequence[int]] | None = None,
    batch_size: int | None = None,
    edits: Sequence[Edit] = (),
) -> xr.DataTree:
    """Record the derivative of a chosen output with respect to every state and gate of ``model``.

    The derivatives are total: they say how much the chosen output would gain, per unit added to the
    quantity where it arises, through everything that follows in this layer and in all others. The
    derivative by ``cell`` at a step thus includes all later cells and the hidden state of the same
    step; the derivative by ``forget_gate`` has ``cell`` before the step as a factor. The model runs
    as in prediction, without dropout, and stays unchanged.

    Args:
        model: A built model with recurrent layers anywhere in it, which processes every sample
            independently.
        x: As for :func:`record_traces`, like all arguments below ``output``. A stream may yield
            targets and sample weights, too, as for ``fit``.
        y: Targets ``(sample, ...)``, nested like the model's outputs.
        sample_weight: Weights ``(sample, ...)`` for ``y``.
        output: A function of the model's outputs, as tensors, that returns one number per sample:
            ``lambda y: y[:, -1, 0]``. None if the model has one output of one number. With targets,
            it receives them as second argument, ``lambda outputs, y: ...``, and sample weights as
            third; from a stream, as many as it accepts. ``"loss"`` is the loss that the model is
            compiled with, for each sample as from ``model.evaluate`` on this sample alone, without
            the layers' penalties.
        mask: Bool ``(sample, time)``, true where the step is real.
        initial_state: Initial states by address.
        layers: Addresses, shell patterns or layers of the model, one or several; None selects all.
        quantities: The quantities to differentiate by, as for :func:`record_traces`.
        isel: Indices along ``sample``, ``time`` or ``unit`` to keep.
        batch_size: Samples per batch.
        edits: Edits as for :func:`record_traces`. The derivative by an edited quantity is that by
            its new value.

    Returns:
        A tree like that of :func:`record_traces`, in which each quantity ``(sample, time, unit)``
        and each initial state ``(sample, unit)`` holds the derivative by it. A final state has no
        variable of its own: its derivative is that of the state at the last step. At masked steps
        no gate runs, and the derivatives by gates are NaN; those by ``inputs`` are 0. There, the
        derivatives by ``hidden`` and ``cell`` are those by the carried state, plus the effect of
        the layer's output: at a masked step between or after real ones, the layer above reads the
        hidden state again, unless ``zero_output_for_mask`` is set. The root holds the model's
        ``outputs`` and the ``chosen`` numbers ``(sample,)``.

    Raises:
        UnsupportedLayerError: if a layer cannot be traced exactly, or computes in half precision.
        TraceError: if a layer's states differ from its own, a derivative is NaN, or the model
            returns other outputs at each run.
        ValueError: if an argument does not fit the model or the data, if ``output`` does not return
            one number per sample, or if it depends on none of the layers.

    Example:
        >>> gradients = record_gradients(model, x, output=lambda y: y[:, -1, 0])
        >>> abs(gradients["lstm/cell"]).mean(["sample", "unit"])  # how far back it remembers
        >>> record_gradients(model, x, y=y, output="loss")
    """
    targets = _Targets(x, y, sample_weight)
    request = check_request(
        model,
        targets.inputs,
        mask=mask,
        initial_state=initial_state,
        layers=layers,
        quantities=quantities,
        isel=isel,
        batch_size=batch_size,
        edits=edits,
    )
    check_exact(model)
    if output == "loss":
        targets.check_given()
        output = compiled_loss(model)
    elif output is not None and not callable(output):
        raise ValueError(f"output is {output!r}; it must be a function, 'loss' or None")
    wanted = (model, request.layers, request.quantities, request.selection)
    recorder = Recorder(*wanted, differentiable=True, plans=request.plans)
    with tqdm(disable=True) as bar:
        return gather(
            request, bar, _Differentiated(recorder, output or only_number, targets, request)
        )


def check_exact(model: keras.Model) -> None:
    """Refuse a model whose recurrent layers compute in a precision without derivatives."""
    for address, (_, cell) in cells_of_all(supported_layers(model)).items():
        if cell.compute_dtype not in EXACT:
            raise UnsupportedLayerError(
                f"layer {address!r} computes in {cell.compute_dtype}, in which derivatives "
                f"vanish; they need one of {list(EXACT)}"
            )


@dataclass(frozen=True, eq=False)
class _Differentiated:
    """Records derivatives of a batch, called as a :class:`Recorder` is.

    The numbers are made of the outputs of a first run, outside of everything compiled: what is
    compiled once serves for any function. A second run goes back from there.
    """

    recorder: Recorder
    output: Output
    targets: _Targets
    request: Request

    @property
    def missed(self) -> Any:
        """What the model did that isn't recorded."""
        return self.recorder.missed

    @property
    def touched(self) -> Any:
        """What the edits have touched."""
        return self.recorder.touched

    def __call__(self, x: Any, mask: Any, states: Any, parts: Any, live: Any) -> Any:
        found = self.recorder(x, mask, states, parts, live)[0]
        for values, own in zip(keras.tree.flatten(found["outputs"]), found["masks"], strict=True):
            values._keras_mask = own
        rows = len(keras.tree.flatten(x)[0])
        targets = self.targets.take(rows, self.request.samples, self.output)
        chosen, upstream = choose(self.output, found["outputs"], targets)
        if all(derivative is None for derivative in upstream):
            layers = list(self.request.traced)
            raise ValueError(f"output depends on none of the layers {layers}")
        outputs, nodes, after = self.recorder(x, mask, states, parts, live, upstream=upstream)
        _check_repeated(found["outputs"], outputs["outputs"])
        return {**outputs, "chosen": chosen}, nodes, after


class _Targets:
    """What goes with the inputs of each batch, taken in step with them."""

    def __init__(self, x: Any, y: Any, sample_weight: Any) -> None:
        self._given = tuple(part for part in (y, sample_weight) if part is not None)
        self._streamed, self._taken = is_stream(x), 0
        if sample_weight is not None and y is None:
            raise ValueError("sample_weight requires targets; pass y, too")
        if self._streamed and self._given:
            raise ValueError("x yields batches; include targets in them: (x, y) or (x, y, weights)")
        size = count_samples(x, None) if self._given else 0
        for leaf in keras.tree.flatten(self._given):
            if np.shape(leaf)[:1] != (size,):
                raise ValueError(
                    f"y or sample_weight has shape {np.shape(leaf)} for {size} samples; its first "
                    "axis must be the samples"
                )
        self.inputs = self._inputs(x) if self._streamed else x

    def check_given(self) -> None:
        """Refuse arrays without targets."""
        if not self._given and not self._streamed:
            raise ValueError("output='loss' needs targets; pass them as y=")

    def take(self, rows: int, samples: np.ndarray | None, output: Output) -> tuple[Any, ...]:
        """Return what goes with the next ``rows`` of the ``samples`` that are recorded.

        Of what a stream gives, which may give targets to ``fit`` alone, as much as ``output`` asks
        for.
        """
        if self._streamed:
            return self._given[: _asked(output)]
        part = slice(self._taken, self._taken + rows)
        self._taken += rows
        chosen = part if samples is None else samples[part]
        return keras.tree.map_structure(lambda array: rows_of(array, chosen), self._given)

    def _inputs(self, x: Any) -> Iterator[tuple[Any]]:
        for item in stream_items(x):
            inputs, *targets = keras.utils.unpack_x_y_sample_weight(item)
            given = tuple(part for part in targets if part is not None)
            self._given = keras.tree.map_structure(tf.convert_to_tensor, given)
            yield (inputs,)


def _asked(output: Output) -> int:
    """Return how many targets ``output`` must be given; what has a default isn't one."""
    try:
        parameters = signature(output).parameters.values()
    except ValueError:  # built in
        return 0
    kinds = [p.kind for p in parameters if p.default is Parameter.empty]
    several = Parameter.VAR_POSITIONAL in kinds
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return 2 if several else max(0, sum(kind in positional for kind in kinds) - 1)


def _check_repeated(first: Any, second: Any) -> None:
    """Refuse a model that draws random numbers which Keras's seeds don't decide."""
    for one, other in zip(*map(keras.tree.flatten, (first, second)), strict=True):
        expected, given = np.asarray(one), np.asarray(other)
        if expected.dtype.kind != "f":
            continue
        limit = 1e-4 * (1 + np.max(np.abs(expected), where=np.isfinite(expected), initial=0))
        if not np.allclose(given, expected, rtol=0, atol=limit, equal_nan=True):
            raise TraceError(
                "the model returns other outputs at each run, so that derivatives would belong to "
                "none of them. Draw its random numbers from a keras.random.SeedGenerator"
            )
