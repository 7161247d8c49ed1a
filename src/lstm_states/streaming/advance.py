"""Run a sequence in pieces, and check that the pieces equal the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lstm_states.kernels.cells import kind_of
from lstm_states.layers import live_states
from lstm_states.proof.equations import TOLERANCES
from lstm_states.proof.refusals import check_mask, check_numbers, check_probe
from lstm_states.streaming.inputs import StreamInputs
from lstm_states.traces.cell_trace import CellTrace
from lstm_states.traces.edit_plans import Part
from lstm_states.traces.moving import Moving, values_of
from lstm_states.traces.recorder import Recorder
from lstm_states.traces.traced_layers import UnsupportedLayerError, cells_of_all, select_layers

PROOF_STEPS = 8
"""Steps of the random sequence, beyond what the widest convolution sees."""

Cells = dict[str, keras.Layer]


@dataclass(frozen=True)
class Position:
    """Where a stream is; all by the address of a cell, and never changed once made.

    ``states`` are what the cell carries, each ``(sample, unit)``. ``started (sample,)`` is true
    where there was a real step: before it Keras shows zeros, after it what was shown last.
    """

    states: Mapping[str, tuple[tf.Tensor, ...]]
    started: Mapping[str, tf.Tensor]
    steps: int


def streamed_cells(model: keras.Model) -> Cells:
    """Return all recurrent cells of ``model`` by address.

    Raises:
        UnsupportedLayerError: if a layer can't be traced, or needs the end of a sequence first.
    """
    layers = select_layers(model, None)
    for address, traced in layers.items():
        if traced.layer.go_backwards:
            raise UnsupportedLayerError(
                f"layer {address!r} runs backwards: it starts with the last step of the sequence, "
                "which a stream doesn't have yet. Use record_traces for whole sequences"
            )
    return {address: cell for address, (_, cell) in cells_of_all(layers).items()}


def advance(
    recorder: Recorder,
    cells: Cells,
    x: Any,
    mask: Any,
    position: Position,
    parts: Sequence[Part] = (),
) -> tuple[Any, Any, Position]:
    """Take the steps of ``x`` from ``position`` on.

    Args:
        recorder: For the model; if it probes, the probe is checked.
        cells: What :func:`streamed_cells` gives for the model.
        x: What :meth:`StreamInputs.tensors` gives.
        mask: Bool ``(sample, time)`` or None.
        position: Where the stream is.
        parts: Of each of the recorder's edits, where and by what it changes these steps.

    Returns:
        The model's outputs, by address what each cell did (see :class:`Recorder`), and the
        position after the last step.

    Raises:
        TraceError: if a state becomes NaN, or a layer itself differs from its probe.
        ValueError: if ``mask`` gets lost on its way to the layers.
    """
    live = _resting_states(recorder.model)
    outputs, nodes, _ = recorder(x, mask, position.states, parts, live, position.started)
    check_mask(mask, nodes)
    states, started = {}, {}
    for address, cell in cells.items():
        states[address] = _end_states(cell, nodes[address], "final")
        check_numbers(address, states[address])
        if recorder.probe:
            check_probe(address, nodes[address])
        started[address] = position.started[address]
        if not np.all(started[address]):
            real = np.asarray(nodes[address].mask).any(1)
            started[address] = tf.constant(np.asarray(started[address]) | real)
    steps = keras.tree.flatten(x)[0].shape[1]
    return outputs, nodes, Position(states, started, position.steps + steps)


def prove_streaming(
    model: keras.Model, cells: Cells, inputs: StreamInputs
) -> tuple[Position, list[bool]]:
    """Take a random sequence whole and in pieces, and compare all outputs and final states.

    Layers that mix time steps can't all be known by name, but they can't hide here: the values of
    all steps differ, and the sequence is longer than the widest convolution.

    Returns:
        The position before the first step, and of each output whether it has steps.

    Raises:
        UnsupportedLayerError: if the pieces differ from the whole; it says where.
    """
    steps = PROOF_STEPS + _widest(model)
    rng = np.random.default_rng(0)
    recorder, live = Recorder(model, None, ()), _resting_states(model)
    # The start is seen with another sequence: one that depends on the input is noticed.
    _, other, _ = recorder(inputs.random(steps, rng), None, {}, (), live)
    x = inputs.random(steps, rng)
    whole, nodes, _ = recorder(x, None, {}, (), live)
    for address in cells:
        _refuse_repeated(address, nodes)
        if len(nodes[address].mask) != inputs.samples:
            raise UnsupportedLayerError(
                f"layer {address!r} receives {len(nodes[address].mask)} rows for "
                f"{inputs.samples} samples; a session carries one state for each sample"
            )
        check_probe(address, nodes[address])
    start = Position(
        {address: _end_states(cell, other[address], "initial") for address, cell in cells.items()},
        {address: tf.zeros(inputs.samples, bool) for address in cells},
        0,
    )
    pieces, end = _in_pieces(model, cells, x, start)
    for address, cell in cells.items():
        for place, reached in (("initial", start), ("final", end)):
            own = _end_states(cell, nodes[address], place)
            for expected, given in zip(own, reached.states[address], strict=True):
                where = f"the {place} states of layer {address!r} differ"
                _compare(model, where, expected, given)
    flat = [keras.tree.flatten(outputs) for outputs in (whole, *pieces)]
    per_step = []
    for number, (expected, *shown) in enumerate(zip(*flat, strict=True)):
        per_step.append(expected.shape[1:2] == (steps,) and shown[-1].shape[1:2] == (1,))
        given = tf.concat(shown, 1) if per_step[-1] else shown[-1]
        _compare(model, f"output {number} differs", expected, given)
    return start, per_step


def _in_pieces(
    model: keras.Model, cells: Cells, x: Any, position: Position
) -> tuple[list[Any], Position]:
    """Take ``x`` in pieces of 3, 2 and then single steps; return the outputs and the end."""
    recorder = Recorder(model, None, (), probe=False)
    cuts = [0, 3, *range(5, keras.tree.flatten(x)[0].shape[1] + 1)]
    pieces = []
    for first, last in pairwise(cuts):
        piece = keras.tree.map_structure(lambda values, a=first, b=last: values[:, a:b], x)
        try:
            outputs, _, position = advance(recorder, cells, piece, None, position)
        except (ValueError, tf.errors.OpError) as error:
            raise _mixes(model, f"a piece of length {last - first} fails") from error
        pieces.append(outputs)
    return pieces, position


def _end_states(cell: keras.Layer, node: CellTrace, end: str) -> tuple[tf.Tensor, ...]:
    """Return the ``initial`` or ``final`` states of a cell, in Keras's order."""
    return tuple(getattr(node, end)[name] for name in kind_of(cell).states)


def _resting_states(model: keras.Model) -> Moving:
    """Return zeros for the live states of stateful layers, which a stream leaves alone."""
    return values_of((v.value, tf.zeros_like(v.value)) for v in live_states(model).values())


def _widest(model: keras.Model) -> int:
    """Return how far back the widest convolution or pooling of ``model`` looks."""
    spans = [0]
    for layer in model._flatten_layers():
        width, stride = getattr(layer, "kernel_size", 1), getattr(layer, "dilation_rate", 1)
        width = getattr(layer, "pool_size", width)
        widths, strides = (v if isinstance(v, list | tuple) else (v,) for v in (width, stride))
        spans.append((max(widths) - 1) * max(strides))
    return max(spans)


def _refuse_repeated(address: str, nodes: Mapping[str, CellTrace]) -> None:
    if address not in nodes:
        raise UnsupportedLayerError(
            f"layer {address!r} is called several times in one pass; one set of states can't be "
            "carried for all of them"
        )


def _compare(model: keras.Model, where: str, expected: Any, given: Any) -> None:
    expected, given = (np.asarray(values, np.float64) for values in (expected, given))
    if expected.shape != given.shape:
        raise _mixes(model, f"{where} in shape, {given.shape} and {expected.shape}")
    # Ten times what one pass may differ, since errors go on from step to step.
    dtypes = {layer.compute_dtype for layer in model._flatten_layers()} & set(TOLERANCES)
    limit = 10 * max(TOLERANCES[dtype] for dtype in dtypes) * (1 + np.abs(expected).max())
    error = np.abs(expected - given).max()
    if not error <= limit:
        raise _mixes(model, f"{where} by {error:.2g}, more than {limit:.2g}")


def _mixes(model: keras.Model, found: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"model {model.name!r} can't be streamed: a sequence in pieces returns another result "
        f"than as a whole: {found}. A layer mixes time steps (such as a convolution, pooling or "
        "attention), starts from another layer's output, or draws random numbers in prediction"
    )
