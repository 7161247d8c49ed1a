"""Refuse what was recorded unless it is what the layer does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from lstm_states.kernels.cells import cell_kind
from lstm_states.schema import CELL_QUANTITIES
from lstm_states.traces.check import ELEMENTWISE, TOLERANCES, measure_residuals

CHECKED_STEPS = 32
"""Steps of the first and the last sample of a batch whose equations are checked."""


class TraceError(RuntimeError):
    """What was recorded differs from what the layer itself does, or isn't a number."""


def check_probe(address: str, cell: keras.Layer, node: Mapping[str, Any]) -> None:
    """Refuse a cell's run that differs from what the layer itself gave for the probe.

    Args:
        address: Where the cell is.
        cell: The cell.
        node: What it did, as :class:`lstm_states.traces.recorder.Recorder` returns it.

    Raises:
        TraceError: naming the layer, the difference and the limit, or that there is NaN.
    """
    error = float(node["error"])
    limit = TOLERANCES[cell.compute_dtype] * (1 + float(node["peak"]))
    check_numbers(address, [error, *node["initial"].values(), *node["final"].values()])
    if not error <= limit:
        raise TraceError(
            f"layer {address!r}: the recorded states differ from the layer's own by {error:.2g}, "
            f"more than {limit:.2g}"
        )


def check_numbers(address: str, states: Iterable[Any]) -> None:
    """Refuse ``states`` of the cell at ``address`` that hold NaN.

    Raises:
        TraceError: naming the layer.
    """
    if any(np.isnan(values).any() for values in states):
        raise TraceError(f"layer {address!r} gives NaN: look for NaN in x and in the weights")


def check_mask(mask: Any, nodes: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a mask that got lost on its way to the layers, so that nothing is silently wrong.

    Args:
        mask: What the model was given, bool ``(sample, time)``, or None.
        nodes: What the cells did, by address.

    Raises:
        ValueError: naming the layers.
    """
    if mask is not None and not any(np.array_equal(mask, n["mask"]) for n in nodes.values()):
        raise ValueError(
            f"mask reaches none of the layers {list(nodes)}: a layer below them replaces it or "
            "doesn't pass it on"
        )


def check_sample(
    address: str,
    layer: keras.layers.RNN,
    cell: keras.Layer,
    arrays: Mapping[str, np.ndarray],
    time: np.ndarray,
    peak: float,
) -> None:
    """Refuse arrays whose first and last sample break the equations of the cell.

    Args:
        address: Where the cell is.
        layer: The layer of the cell.
        cell: The cell.
        arrays: What is recorded of it for a batch, by name; nothing is checked unless all of its
            quantities are there.
        time: Which steps of the input these are.
        peak: The largest state of the probe.

    Raises:
        TraceError: naming the layer, the equation, the residual and the limit.
    """
    kind = str(cell_kind(cell))
    if not set(CELL_QUANTITIES[kind]) <= set(arrays):
        return
    steps = slice(CHECKED_STEPS)
    in_time = (*CELL_QUANTITIES[kind], "mask")
    sample = {
        name: values[[0, -1], steps] if name in in_time else values[[0, -1]]
        for name, values in arrays.items()
    }
    whole = sample["hidden"].shape[-1] == cell.units
    name = getattr(cell.activation, "__name__", "")
    residuals = measure_residuals(
        kind,
        sample,
        activation=cell.activation if whole or name in ELEMENTWISE else None,
        go_backwards=layer.go_backwards,
        time=time[steps],
    )
    limit = TOLERANCES[cell.compute_dtype] * (1 + peak)
    for name, residual in residuals.items():
        if residual > limit:  # NaN where the cell has no such equation
            raise TraceError(
                f"layer {address!r} breaks the equation of {name!r} by {residual:.2g}, more than "
                f"{limit:.2g}"
            )
