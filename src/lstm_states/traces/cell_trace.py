"""The recorded run of a cell on one batch, on its way from the graph to the tree."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf


class CellTrace(NamedTuple):
    """What a cell did with one batch; of a layer that isn't traced, the mask alone.

    A tuple with names, since that is what a ``tf.function`` returns as it is.
    """

    mask: tf.Tensor
    """Bool ``(row, time)``, true where the step is real."""
    steps: dict[str, list[tf.Tensor]]
    """By quantity asked for, ``(slot, part of the batch, unit)`` of each part of the batch."""
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
