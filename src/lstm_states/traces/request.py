"""The arguments of a recording, checked against the model and the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from lstm_states.cells import INPUTS, KINDS
from lstm_states.kernels.cells import kind_of
from lstm_states.layers import live_states
from lstm_states.traces.batches import (
    Batch,
    array_batches,
    count_samples,
    is_stream,
    stream_batches,
)
from lstm_states.traces.edit import Edit
from lstm_states.traces.edit_plans import CellPlan, check_edits, plan_edits, with_parts
from lstm_states.traces.initial_states import check_states
from lstm_states.traces.select import Selection, check_selection, positions
from lstm_states.traces.traced_layers import (
    TracedLayer,
    Wanted,
    cells_of_all,
    select_layers,
    supported_layers,
)

BATCH_SIZE = 256


@dataclass(frozen=True)
class Request:
    """Checked arguments of :func:`lstm_states.record_traces`.

    ``traced`` holds the layers by address and ``layers`` their addresses, None if all are asked
    for. ``size`` is the number of samples and ``samples`` their indices, None if that isn't known
    or all are taken; ``batches`` yields them once. ``plans`` are the edits of each cell.
    """

    model: keras.Model
    traced: dict[str, TracedLayer]
    layers: tuple[str, ...] | None
    quantities: tuple[str, ...]
    selection: Selection
    size: int | None
    samples: np.ndarray | None
    batches: Iterator[Batch]
    outputs: bool
    plans: list[CellPlan]


def check_request(
    model: keras.Model,
    x: Any,
    *,
    mask: np.ndarray | None,
    initial_state: Mapping[str, Any] | None,
    layers: Wanted,
    quantities: Sequence[str] | str | None,
    isel: Mapping[str, slice | Sequence[int]] | None,
    batch_size: int | None,
    edits: Sequence[Edit],
    outputs: bool = True,
) -> Request:
    """Check arguments as :func:`lstm_states.record_traces` documents them.

    Raises:
        UnsupportedLayerError: if a layer can't be traced exactly.
        ValueError: if an argument doesn't fit the model or the data; it says which.
    """
    edits = check_edits(edits)
    editable = supported_layers(model) if edits else {}
    traced = select_layers(model, layers)
    mask = None if mask is None else np.asarray(mask)
    selection = check_selection(isel or {})
    samples = None
    if is_stream(x):
        _check_stream(mask, initial_state, selection, batch_size)
        size, batches = None, stream_batches(x)
        plans = plan_edits(edits, editable, None)
    else:
        size = count_samples(x, mask)
        plans = plan_edits(edits, editable, size)
        if "sample" in selection:
            samples = positions(selection["sample"], size, "sample of x")
            size = len(samples)
        states = check_states({} if initial_state is None else initial_state, traced, size)
        rows = _batch_size(model, size, batch_size)
        batches = array_batches(x, mask, states, samples, rows)
    if plans:
        batches = with_parts(batches, plans, samples)
    wanted = check_quantities(quantities, traced)
    asked = None if layers is None else tuple(traced)
    return Request(model, traced, asked, wanted, selection, size, samples, batches, outputs, plans)


def check_quantities(
    quantities: Sequence[str] | str | None, traced: Mapping[str, TracedLayer]
) -> tuple[str, ...]:
    """Return the ``quantities`` wanted of the ``traced`` layers, in their order.

    None is all that the cells compute: their states and gates, not what they are given.
    """
    kinds = sorted({kind_of(cell).name for _, cell in cells_of_all(traced).values()})[::-1]
    of_kinds = tuple(dict.fromkeys(name for kind in kinds for name in KINDS[kind].quantities))
    if quantities is None:
        return of_kinds
    allowed = (*of_kinds, INPUTS)
    one = isinstance(quantities, str) or not np.iterable(quantities)
    wanted = [quantities] if one else list(quantities)
    if not wanted or any(name not in allowed for name in wanted):
        raise ValueError(f"quantities is {quantities!r}; allowed are some of {list(allowed)}")
    return tuple(name for name in allowed if name in wanted)


def _check_stream(
    mask: Any, initial_state: Any, selection: Mapping[str, Any], batch_size: int | None
) -> None:
    given = {"mask": mask, "initial_state": initial_state, "batch_size": batch_size}
    given["isel['sample']"] = selection.get("sample")
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} requires arrays; x is an iterator over batches")


def _batch_size(model: keras.Model, size: int, batch_size: int | None) -> int:
    fixed = {variable.shape[0] for variable in live_states(model).values()}
    whole = batch_size is None or isinstance(batch_size, int | np.integer)
    if not whole or (batch_size is not None and batch_size < 1):
        raise ValueError(f"batch_size is {batch_size!r}; it must be an integer of at least 1")
    for rows in fixed:
        if (batch_size or rows) != rows or size % rows:
            raise ValueError(
                f"model {model.name!r} is stateful for batches of {rows} samples; it can't run "
                f"{size} samples in batches of {batch_size or rows}"
            )
    return batch_size or next(iter(fixed), BATCH_SIZE)
