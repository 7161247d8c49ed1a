"""Bring the edits of a recording to the cells they are for, and give each batch its part."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import xarray as xr

from lstm_states.kernels.cells import kind_of, state_dims, state_shape, unit_axis
from lstm_states.kernels.edits import INPUTS
from lstm_states.proof.refusals import TraceError
from lstm_states.traces.batches import Batch
from lstm_states.traces.edit import Edit
from lstm_states.traces.select import positions
from lstm_states.traces.traced_layers import TracedLayer, is_matched

INITIAL = "initial_"
"""What the names of the states begin with that a layer starts from."""


class Target(NamedTuple):
    """What of an edit of one cell a function is compiled for."""

    name: str
    """What messages call the edit."""
    address: str
    quantity: str
    action: str
    time: tuple | None
    """The arguments of the slice of steps, if they are given as one."""
    function: Callable[[Any], Any] | None


class Places(NamedTuple):
    """What of an edit of one cell is passed to a compiled function, of one batch.

    ``operands`` are ``(time, batch, ...)`` like the quantity, or 1 wide where they are the same for
    all; that of time may have the size of the steps chosen.
    """

    time: np.ndarray | None
    """Indices of the steps ``(chosen,)``, or bool ``(time, batch)``; None if all are chosen, or by
    a slice."""
    sample: np.ndarray | None
    """Bool ``(batch,)``; None if all are chosen."""
    unit: np.ndarray
    """Bool like a state behind the batch, or 1 wide if all are chosen."""
    operands: tuple[np.ndarray, ...]


class CellPlan:
    """An edit for one cell.

    Args:
        edit: What the user asks for.
        address: The address of the cell.
        cell: The cell.
        size: The number of samples of ``x``; None if it isn't known.

    Raises:
        ValueError: if the edit doesn't fit the cell; it names what would be right.
    """

    def __init__(self, edit: Edit, address: str, cell: keras.Layer, size: int | None) -> None:
        self.edit, self.address, self.states = edit, address, kind_of(cell).states
        starts = [INITIAL + name for name in self.states]
        allowed = [*kind_of(cell).quantities, INPUTS, *starts]
        if edit.quantity not in allowed:
            raise ValueError(f"{edit}: layer {address!r} has no such quantity, but {allowed}")
        self._dims = ("sample", "time", *state_dims(cell))
        self._width = _width(cell, edit.quantity)
        self._unit = None if edit.unit is None else self._units(edit.unit)
        self._sample = _samples(edit, size)
        self._size = size
        time = edit.time
        sliced = (time.start, time.stop, time.step) if isinstance(time, slice) else None
        self.target = Target(str(edit), address, edit.quantity, edit.action, sliced, edit.function)
        self._operands = [self._with_all_axes(value) for value in self._values()]

    def places(self, samples: np.ndarray) -> Places:
        """Return what a compiled function receives for the samples of these numbers."""
        time = self.edit.time
        chosen = None if time is None or isinstance(time, slice) else np.atleast_1d(time)
        sample = None if self._sample is None else np.isin(samples, self._sample)
        unit = np.ones([1] * len(self._dims[2:]), bool)
        if self._unit is not None:
            unit = np.zeros(self._width or 0, bool)
            unit[self._unit] = True
            unit = self._along("unit", unit)[0, 0]
        return Places(chosen, sample, unit, tuple(self._rows(v, samples) for v in self._operands))

    @property
    def by_sample(self) -> bool:
        """Whether it isn't the same for all samples."""
        return self._sample is not None or any(v.shape[0] > 1 for v in self._operands)

    @property
    def by_step(self) -> bool:
        """Whether it does something else at each step."""
        return any(v.shape[1] > 1 for v in self._operands)

    def check_steps(self, length: int) -> None:
        """Refuse steps that a layer doesn't have that receives ``length`` of them."""
        chosen = _chosen(self.edit, "time", length, f"step of layer {self.address!r}")
        for value in self._operands:
            if not isinstance(value, xr.DataArray) or value.sizes["time"] == 1:
                continue
            if (labels := value.coords.get("time")) is not None:
                expected = chosen if labels.size == len(chosen) else np.arange(length)
                if not np.array_equal(labels, expected):
                    raise ValueError(
                        f"{self.edit}: {self.edit.action} has the steps {labels.values.tolist()}, "
                        f"the edit {chosen.tolist()}; to take values from other steps, drop the "
                        "coordinate: .drop_vars('time')"
                    )

    def _along(self, dim: str, values: np.ndarray) -> np.ndarray:
        """Give ``values`` along one dimension axes of 1 for all others."""
        axis = self._dims.index(dim)
        return np.reshape(values, [-1 if n == axis else 1 for n in range(len(self._dims))])

    def _units(self, wanted: Any) -> np.ndarray:
        if self._width is None:
            raise ValueError(
                f"{self.edit} chooses units, but how many features layer {self.address!r} receives "
                "is not known before it runs: omit unit and swap"
            )
        return _chosen(self.edit, "unit", self._width, f"unit of layer {self.address!r}", wanted)

    def _values(self) -> list[Any]:
        """Return what the kernel needs besides the value."""
        edit = self.edit
        if edit.clamp is not None:
            return [
                end if limit is None else limit
                for limit, end in zip(edit.clamp, (-np.inf, np.inf), strict=True)
            ]
        if edit.swap is not None:
            pair = self._units(edit.swap)
            order = np.arange(self._width or 0)
            order[pair] = pair[::-1]
            return [self._along("unit", order)]
        return [] if edit.action in ("hold", "function") else [edit.value]

    def _with_all_axes(self, value: Any) -> np.ndarray | xr.DataArray:
        """Return an operand ``(sample, time, ...)``, checked but for its steps."""
        what = f"{self.edit}: {self.edit.action}"
        if isinstance(value, xr.DataArray):
            if unknown := [dim for dim in value.dims if dim not in self._dims]:
                raise ValueError(f"{what} has the dimensions {unknown}, not some of {self._dims}")
            missing = [dim for dim in self._dims if dim not in value.dims]
            value = value.expand_dims(missing).transpose(*self._dims)
        elif np.ndim(value) > len(self._dims):
            raise ValueError(f"{what} has shape {np.shape(value)}, not one like {self._dims}")
        else:
            value = np.asarray(value)
            value = value.reshape(*[1] * (len(self._dims) - value.ndim), *value.shape)
        for dim, chosen, size in (
            ("sample", self._sample, self._size),
            ("unit", self._unit, self._width),
        ):
            own = value.shape[self._dims.index(dim)]
            allowed = {1, size if chosen is None else len(chosen)}
            if isinstance(value, xr.DataArray):
                allowed.add(size)
            if size is not None and own not in allowed:
                raise ValueError(f"{what} holds {own} of {dim}; allowed are {allowed}")
        return value

    def _rows(self, value: np.ndarray | xr.DataArray, samples: np.ndarray) -> np.ndarray:
        """Return an operand of some samples ``(time, batch, ...)``, of all units or 1."""
        held = value.shape[0]
        if held > 1:
            rows = samples
            if self._sample is not None and held == len(self._sample):
                order = np.argsort(self._sample)
                places = np.searchsorted(self._sample[order], samples).clip(max=held - 1)
                rows = order[places]  # of the samples that aren't chosen any will do
            value = value[rows]
        array = np.asarray(value).swapaxes(0, 1)
        axis = self._dims.index("unit")
        if self._unit is not None and array.shape[axis] == len(self._unit) > 1:
            shape = list(array.shape)
            shape[axis] = self._width
            wide = np.zeros(shape, array.dtype)
            wide[(slice(None),) * axis + (self._unit,)] = array
            array = wide
        return array


def plan_edits(
    edits: Sequence[Edit], traced: Mapping[str, TracedLayer], size: int | None
) -> list[CellPlan]:
    """Return the edits for each cell that they are for.

    Args:
        edits: What the user asks for.
        traced: The layers that can be traced, by address.
        size: The number of samples of ``x``; None if it isn't known.

    Raises:
        ValueError: if an edit doesn't fit the model; it names the edit and what would be right.
    """
    if isinstance(edits, Edit) or not all(isinstance(edit, Edit) for edit in edits):
        raise ValueError(f"edits is {edits!r}; it must be a list of lstm_states.Edit")
    cells = {a: cell for layer in traced.values() for a, cell in layer.cells.items()}
    plans = []
    for edit in edits:
        own = {a: cell for a, cell in cells.items() if is_matched(a, edit.layer)}
        if not own:
            raise ValueError(f"{edit} matches no recurrent layer; available are {list(cells)}")
        plans += [CellPlan(edit, address, cell, size) for address, cell in own.items()]
    return plans


def _width(cell: keras.Layer, quantity: str) -> int | None:
    """Return how many units a quantity has; None if it isn't known before the layer runs."""
    if quantity != INPUTS:
        return state_shape(cell)[unit_axis(cell) - 1]
    kernel = getattr(cell, "kernel", None)
    return kernel.shape[-2] if kind_of(cell).keras_cell and kernel is not None else None


def _chosen(edit: Edit, axis: str, size: int, what: str, wanted: Any = None) -> np.ndarray:
    """Return the indices, from 0 on, that an edit chooses along an axis of ``size``."""
    wanted = getattr(edit, axis) if wanted is None else wanted
    if wanted is not None and not isinstance(wanted, slice):
        wanted = np.atleast_1d(wanted)
    chosen = positions(wanted, size, what, f"{axis} of {edit}")
    if len(np.unique(chosen)) < len(chosen):
        raise ValueError(f"{edit}: {axis} is {wanted.tolist()}; it must name each {what} once")
    return chosen


def _samples(edit: Edit, size: int | None) -> np.ndarray | None:
    wanted = edit.sample
    if wanted is None:
        return None
    if size is None:
        end = wanted.stop if isinstance(wanted, slice) else np.max(wanted) + 1
        first = (wanted.start or 0) if isinstance(wanted, slice) else np.min(wanted)
        if end is None or end < 0 or first < 0:
            raise ValueError(
                f"{edit}: sample is {wanted!r}, but x is an iterator whose end is not known: count "
                "from 0 on, and give a slice an end"
            )
        size = int(end)
    return _chosen(edit, "sample", size, "sample of x")


def with_places(
    batches: Iterator[Batch], plans: Sequence[CellPlan], samples: np.ndarray | None
) -> Iterator[Batch]:
    """Yield batches with what their edits need.

    Args:
        batches: Batches without edits.
        plans: The edits.
        samples: The numbers of the samples in them; None if they are counted from 0 on.
    """
    first = 0
    for x, mask, states, _ in batches:
        last = first + len(keras.tree.flatten(x)[0])
        numbers = np.arange(first, last) if samples is None else samples[first:last]
        yield x, mask, states, [plan.places(numbers) for plan in plans]
        first = last


def check_edits(plans: Sequence[CellPlan], steps: Mapping[str, int], nan: np.ndarray) -> None:
    """Refuse edits that name steps which aren't there, or have put NaN into a real step.

    Args:
        plans: The edits.
        steps: By address of a cell, how many steps its layer receives.
        nan: Bool ``(plan,)``.
    """
    for plan, wrong in zip(plans, nan, strict=True):
        if not plan.edit.quantity.startswith(INITIAL):
            plan.check_steps(steps[plan.address])
        if wrong:
            raise TraceError(
                f"{plan.edit}: {plan.edit.action} holds NaN for a real step of layer "
                f"{plan.address!r}"
            )


def describe_edits(edits: Iterable[Edit]) -> dict[str, list[str]]:
    """Return what the root of a tree says of the edits: a line of JSON for each."""
    lines = [json.dumps(edit.describe()) for edit in edits]
    return {"edits": lines} if lines else {}


def check_touched(plans: Sequence[CellPlan], touched: Mapping[CellPlan, bool]) -> None:
    """Refuse edits that have touched nothing in any batch.

    Args:
        plans: The edits.
        touched: Of each, whether it has touched anything.

    Raises:
        ValueError: naming the first of them and why.
    """
    for plan in plans:
        if not touched[plan]:
            raise ValueError(
                f"{plan.edit} touches nothing of layer {plan.address!r}: no sample that it names "
                "has a real step that it names"
                + (" and a real step before that one" if plan.edit.hold else "")
            )
