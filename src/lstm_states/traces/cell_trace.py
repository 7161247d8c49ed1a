"""The recorded run of a cell on one batch, on its way from the graph to the tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf

from lstm_states.cells import INPUTS
from lstm_states.kernels.cells import divide_states, kind_of, unit_axis
from lstm_states.traces.select import Selection, take
from lstm_states.traces.traced_layers import TracedLayer, UnsupportedLayerError

if TYPE_CHECKING:
    from lstm_states.traces.intercept import Call


class CellTrace(NamedTuple):
    """What a cell did with one batch; of a layer that isn't traced, the mask alone.

    A tuple with names, since that is what a ``tf.function`` returns as it is.
    """

    mask: tf.Tensor
    """Bool ``(row, time)``, true where the step is real."""
    steps: dict[str, list[tf.Tensor]]
    """By quantity asked for, ``(slot, part of the batch, unit)`` of each part of the batch.

    ``inputs`` is one part, with a slot for each step.
    """
    slots: list[tf.Tensor | None]
    """Of each part, as in :class:`lstm_states.kernels.scan.CellRun`."""
    initial: dict[str, tf.Tensor]
    """By state, what the cell started from, ``(row, unit)``."""
    final: dict[str, tf.Tensor]
    """By state, where it ended; empty of derivatives: they are those by the last step's states."""
    time: tf.Tensor | None
    """Indices of the steps that are kept."""
    unit: tf.Tensor | None
    """Indices of the units that are kept."""
    edited: tf.Tensor | None = None
    """Bool ``(row, time)``, true where a quantity is edited; None without edits of the cell."""
    rows: tf.Tensor | None = None
    """A number for each row, as :func:`lstm_states.traces.rows.tell_rows` makes them.

    None if the rows are known to be the samples.
    """
    one_mask: tf.Tensor | None = None
    """Whether all layers asked for have the same mask."""
    probe: Any = None
    """What the layer itself gave, if it was asked, a :class:`lstm_states.traces.probe.Probe`."""
    error: float = 0.0
    """The largest difference of two numbers between the probe's states."""
    excess: float = 0.0
    """The largest one in relation to what rounding explains, infinite where one of the two isn't
    finite and the other is."""


def traces_of(
    traced: TracedLayer,
    calls: Sequence[Call],
    states: Mapping[str, Any],
    quantities: Sequence[str],
    selection: Selection,
) -> dict[str, CellTrace]:
    """Return what the cells of a layer did by address."""
    if len(calls) > 1 and set(traced.cells) & set(states):
        raise UnsupportedLayerError(
            f"layer {traced.address!r} is called {len(calls)} times in one pass: it is unclear "
            "which call initial_state is for"
        )
    nodes = {}
    for number, call in enumerate(calls):
        ends = {k: divide_states(traced.cells.values(), s) for k, s in call.ends.items()}
        for place, (address, cell) in enumerate(traced.cells.items()):
            own = {
                end: dict(zip(kind_of(cell).states, divided[place], strict=True))
                for end, divided in ends.items()
            }
            node = _node(traced, call, place, own, quantities, selection)
            if call.probes:
                node = node._replace(probe=call.probes[address])
            nodes[address if len(calls) == 1 else f"{address}/call_{number}"] = node
    return nodes


def _node(
    traced: TracedLayer,
    call: Call,
    place: int,
    ends: Mapping[str, Mapping[str, tf.Tensor]],
    quantities: Sequence[str],
    selection: Selection,
) -> CellTrace:
    def units(values: tf.Tensor, axis: int) -> tf.Tensor:
        return take(values, axis, selection.get("unit"), f"unit of layer {traced.address!r}")

    def times(values: tf.Tensor, axis: int) -> tf.Tensor:
        return take(values, axis, selection.get("time"), f"step of layer {traced.address!r}")

    parts, axis = call.parts[place], unit_axis(list(traced.cells.values())[place])
    names = [name for name in parts[0].values if name in quantities]
    size, width = tf.shape(call.mask)[1], next(iter(ends["initial"].values())).shape[axis]
    first, last = (
        {name: _full(units(state, axis)) for name, state in ends.get(end, {}).items()}
        for end in ("initial", "final")
    )
    steps = {n: [_full(units(run.values[n], axis + 1)) for run in parts] for n in names}
    if INPUTS in quantities:
        steps[INPUTS] = [_full(call.inputs[place])]
    return CellTrace(
        mask=call.mask,
        steps=steps,
        slots=[run.slots for run in parts],
        initial=first,
        final=last,
        time=times(tf.range(size), 0),
        edited=call.edited[place],
        unit=units(tf.range(width), 0),
        rows=call.rows,
    )


def _full(values: tf.Tensor) -> tf.Tensor:
    """Keep half precision as float32, which holds every value of it."""
    return tf.cast(values, tf.float32) if values.dtype in (tf.float16, tf.bfloat16) else values
