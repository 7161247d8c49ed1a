"""Refuse recorded values that differ from those of the layer itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from lstm_states.kernels.cells import kind_of, units_of
from lstm_states.proof.equations import ELEMENTWISE, TOLERANCES, measure_residuals

if TYPE_CHECKING:  # traces stand above what refuses them
    from lstm_states.traces.cell_trace import CellTrace

CHECKED_STEPS = 32
"""Steps of the first and the last sample of a batch whose equations are checked."""


class TraceError(RuntimeError):
    """Recorded values differ from those of the layer itself, are NaN, or don't add up."""


def check_probe(address: str, node: CellTrace) -> None:
    """Refuse a cell's run that differs from the layer's own result for the probe.

    Args:
        address: The address of the cell.
        node: The recorded run of the cell.

    Raises:
        TraceError: naming the layer and the difference.
    """
    error, excess = node.error, node.excess
    if excess == np.inf:
        raise TraceError(
            f"layer {address!r}: the recorded states differ from the layer's own: one is NaN or "
            "infinite where the other is a number"
        )
    if not excess <= 1:
        raise TraceError(
            f"layer {address!r}: the recorded states differ from the layer's own by {error:.2g}, "
            f"{excess:.2g} times what rounding explains"
        )


def check_numbers(address: str, states: Iterable[Any]) -> None:
    """Refuse NaN in ``states`` of the cell at ``address``, or in derivatives by them.

    Raises:
        TraceError: naming the layer.
    """
    if any(np.isnan(values).any() for values in states):
        raise TraceError(
            f"layer {address!r} returns NaN: x or the weights hold NaN, or its states have "
            "overflowed"
        )


def check_mask(mask: Any, nodes: Mapping[str, CellTrace]) -> None:
    """Refuse a mask that does not reach the layers, so that no result is silently wrong.

    Args:
        mask: The mask passed to the model, bool ``(sample, time)``, or None.
        nodes: The recorded runs of the cells, by address.

    Raises:
        ValueError: naming the layers.
    """
    if mask is not None and not any(np.array_equal(mask, n.mask) for n in nodes.values()):
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
) -> None:
    """Refuse arrays whose first and last sample break the equations of the cell.

    Args:
        address: The address of the cell.
        layer: The layer of the cell.
        cell: The cell.
        arrays: The recorded arrays of a batch, by name. The check requires all quantities of the
            cell; otherwise it does nothing.
        time: Indices of these steps in the input.

    Raises:
        TraceError: naming the layer, the equation, the residual and the limit.
    """
    kind = kind_of(cell)
    if not set(kind.quantities) <= set(arrays):
        return
    steps = slice(CHECKED_STEPS)
    in_time = (*kind.quantities, "mask", "edited")
    sample = {
        name: values[[0, -1], steps] if name in in_time else values[[0, -1]]
        for name, values in arrays.items()
    }
    activation = getattr(cell, "activation", None)
    elementwise = getattr(activation, "__name__", "") in ELEMENTWISE
    if activation is keras.activations.tanh:
        activation = np.tanh  # of so few numbers, which TensorFlow takes longest to be handed
    whole = sample["hidden"].shape[-1] == units_of(cell)
    residuals = measure_residuals(
        kind,
        sample,
        activation=activation if whole or elementwise else None,
        go_backwards=layer.go_backwards,
        time=time[steps],
    )
    tolerance = TOLERANCES[cell.compute_dtype]
    # NaN where the cell has no such equation.
    found = {name: residual for name, residual in residuals.items() if residual > tolerance}
    if not found:
        return
    peak = max(
        np.abs(v[np.isfinite(v)]).max(initial=0) for k, v in sample.items() if v.dtype != bool
    )
    limit = tolerance * (1 + peak)
    for name, residual in found.items():
        if residual > limit:
            raise TraceError(
                f"layer {address!r} breaks the equation of {name!r} by {residual:.2g}, more than "
                f"{limit:.2g}"
            )
