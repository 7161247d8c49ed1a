"""Bring the edits of a recording to the cells they are for, and give each batch its part."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple

import keras
import numpy as np
import xarray as xr

from lstm_states.cells import INITIAL, INPUTS, is_start
from lstm_states.kernels.cells import features_of, input_dims, kind_of, state_dims, state_shape
from lstm_states.proof.refusals import TraceError
from lstm_states.traces.batches import Batch
from lstm_states.traces.compiled import Same
from lstm_states.traces.edit import Edit
from lstm_states.traces.operands import Axes
from lstm_states.traces.select import positions
from lstm_states.traces.traced_layers import TracedLayer, is_matched


class Target(NamedTuple):
    """What of an edit of one cell a function is compiled for."""

    name: str
    """What messages call the edit."""
    address: str
    quantity: str
    action: str
    time: tuple | None
    """The arguments of the slice of steps, if one is given and the operand has steps."""
    whole: bool
    """Whether an operand with as many steps as the layer has those, in whatever order some of them
    are chosen."""
    function: Same | None


class Part(NamedTuple):
    """What of an edit of one cell is passed to a compiled function, of one batch.

    ``operands`` are ``(time, batch, ...)`` like the quantity, or 1 wide where they are the same for
    all; that of time may have the size of the steps chosen.
    """

    time: Any
    """Indices of the steps ``(chosen,)``, a slice's arguments, or bool ``(time, batch)``; None if
    all are chosen, or the :class:`Target` has a slice."""
    sample: np.ndarray | None
    """Bool ``(batch,)``; None if all are chosen."""
    unit: np.ndarray
    """Bool like a state behind the batch, or 1 wide if all are chosen."""
    operands: tuple[np.ndarray, ...]


class CellPlan:
    """An edit for one cell.

    Args:
        edit: What the user asks for.
        layer: The address of the cell's layer.
        address: The address of the cell.
        cell: The cell.
        size: The number of samples of ``x``; None if it isn't known.

    Attributes:
        edit: The edit.
        layer: The address of the layer.
        address: The address of the cell.
        target: What a function is compiled for.
        by_sample: Whether it isn't the same for all samples.
        by_step: Whether it does something else at each step.

    Raises:
        ValueError: if the edit doesn't fit the cell; it names what would be right.
    """

    def __init__(
        self, edit: Edit, layer: str, address: str, cell: keras.Layer, size: int | None
    ) -> None:
        self.edit, self.layer, self.address = edit, layer, address
        starts = [INITIAL + name for name in kind_of(cell).states]
        allowed = [*kind_of(cell).quantities, INPUTS, *starts]
        if edit.quantity not in allowed:
            raise ValueError(f"{edit}: layer {address!r} has no such quantity, but {allowed}")
        space: dict[str, int | None] = dict(zip(state_dims(cell), state_shape(cell), strict=True))
        if edit.quantity == INPUTS:
            space = {**dict.fromkeys(space), "unit": features_of(cell)}
        self._units = space["unit"]
        steps = {} if edit.quantity in starts else {"time": None}
        self._axes = Axes(
            edit,
            {"sample": size, **steps, **space},
            {"sample": _samples(edit, size), "unit": self._unit_indices(edit.unit)},
            dict(zip(input_dims(cell), state_dims(cell), strict=True)),
        )
        self._operands = [self._axes.place(value) for value in self._values()]
        chosen = self._axes.chosen["sample"] is not None
        self.by_sample = chosen or any(v.shape[0] > 1 for v in self._operands)
        self.by_step = any(v.shape[1] > 1 for v in self._operands)
        time, timed = edit.time, self.by_step
        self._fixed = (
            (time.start, time.stop, time.step) if isinstance(time, slice) and timed else None
        )
        labelled = isinstance(edit.value, xr.DataArray)
        # By their labels, steps have been put in the order of those chosen.
        whole = labelled and not self._axes.in_order(edit.value)
        function = None if edit.function is None else Same(edit.function)
        self.target = Target(
            *(str(edit), address, edit.quantity, edit.action, self._fixed, whole, function)
        )

    def without_operands(self) -> CellPlan:
        """Return the plan for who is given its parts, which hold the operands."""
        plan = copy(self)
        del plan._operands, plan._axes
        if self.edit.action in ("set", "add", "scale"):
            zero: dict[str, Any] = {self.edit.action: 0.0}
            plan.edit = replace(self.edit, **zero)
        return plan

    def part(self, samples: np.ndarray) -> Part:
        """Return what a compiled function receives for the samples of these numbers."""
        time: Any = self.edit.time
        if isinstance(time, slice):
            ends = (time.start, time.stop, time.step)
            # Tensors: a function is compiled once for all slices.
            own = [None if end is None else np.array(end, np.int32) for end in ends]
            time = None if self._fixed else own
        elif time is not None:
            time = np.atleast_1d(time)
        axes = self._axes
        chosen = axes.chosen["sample"]
        sample = None if chosen is None else np.isin(samples, chosen)
        unit = np.ones([1] * len(axes.behind), bool)
        if (units := axes.chosen["unit"]) is not None:
            unit = np.zeros(self._units or 0, bool)
            unit[units] = True
            unit = unit.reshape([-1 if dim == "unit" else 1 for dim in axes.behind])
        return Part(time, sample, unit, tuple(axes.rows(v, samples) for v in self._operands))

    def check_steps(self, length: int) -> None:
        """Refuse steps that a layer doesn't have that receives ``length`` of them."""
        _indices(self.edit, "time", self.edit.time, length, f"step of layer {self.address!r}")

    def _unit_indices(self, wanted: Any) -> np.ndarray | None:
        if wanted is None:
            return None
        if self._units is None:
            raise ValueError(
                f"{self.edit} chooses units, but how many features layer {self.address!r} receives "
                "is not known before it runs: omit unit and swap"
            )
        what = f"unit of layer {self.address!r}"
        return _indices(self.edit, "unit", wanted, self._units, what)

    def _values(self) -> list[Any]:
        """Return what the kernel needs besides the value."""
        edit = self.edit
        if edit.clamp is not None:
            low, high = edit.clamp
            return [-np.inf if low is None else low, np.inf if high is None else high]
        if edit.swap is not None:
            pair = self._unit_indices(list(edit.swap))
            order = np.arange(self._units or 0)
            order[pair] = order[pair][::-1]
            return [xr.DataArray(order, dims="unit")]
        return [] if edit.action in ("hold", "function") else [edit.value]


def check_edits(edits: Any) -> tuple[Edit, ...]:
    """Return the edits that were given.

    Raises:
        ValueError: if they are no edits.
    """
    given = () if edits is None or isinstance(edits, Edit) else tuple(edits)
    if edits is None or isinstance(edits, Edit) or not all(isinstance(e, Edit) for e in given):
        raise ValueError(f"edits is {edits!r}; it must be a list of lstm_states.Edit")
    return given


def plan_edits(
    edits: Sequence[Edit], traced: Mapping[str, TracedLayer], size: int | None
) -> list[CellPlan]:
    """Return the edits for each cell that they are for.

    Args:
        edits: What :func:`check_edits` returns.
        traced: The layers that can be traced, by address.
        size: The number of samples of ``x``; None if it isn't known.

    Raises:
        ValueError: if an edit doesn't fit the model; it names the edit and what would be right.
    """
    cells = {a: (t.address, cell) for t in traced.values() for a, cell in t.cells.items()}
    plans = []
    for edit in edits:
        own = {a: place for a, place in cells.items() if is_matched(a, edit.layer)}
        if not own:
            raise ValueError(f"{edit} matches no recurrent layer; available are {list(cells)}")
        plans += [CellPlan(edit, layer, a, cell, size) for a, (layer, cell) in own.items()]
    return plans


def _indices(edit: Edit, axis: str, wanted: Any, size: int, what: str) -> np.ndarray:
    """Return the indices, from 0 on, that an edit chooses along an axis of ``size``."""
    if wanted is not None and not isinstance(wanted, slice):
        wanted = np.atleast_1d(wanted)
    chosen = positions(wanted, size, what, f"{axis} of {edit}")
    if len(np.unique(chosen)) < len(chosen):
        raise ValueError(f"{axis} of {edit} has {wanted.tolist()}; it must name each {what} once")
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
    return _indices(edit, "sample", wanted, size, "sample of x")


def with_parts(
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
        yield x, mask, states, [plan.part(numbers) for plan in plans]
        first = last


def check_ran(
    plans: Sequence[CellPlan], steps: Mapping[str, Iterable[int]], nan: np.ndarray
) -> None:
    """Refuse edits that name steps which aren't there, or have put NaN into a real step.

    Args:
        plans: The edits.
        steps: By address of a cell, how many steps its layer receives in each call.
        nan: Bool ``(plan,)``.
    """
    for plan, wrong in zip(plans, nan, strict=True):
        if not is_start(plan.edit.quantity):
            for length in steps[plan.address]:
                plan.check_steps(int(length))
        if wrong:
            raise TraceError(
                f"{plan.edit}: {plan.edit.action} holds NaN for a real step of layer "
                f"{plan.address!r}"
            )


def describe_edits(edits: Iterable[Edit]) -> dict[str, list[str]]:
    """Return what the root of a tree says of the edits: a line of JSON for each."""
    lines = [json.dumps(edit.describe()) for edit in edits]
    return {"edits": lines} if lines else {}


def check_touched(plans: Sequence[CellPlan], touched: Sequence[bool]) -> None:
    """Refuse edits that have touched nothing in any batch.

    Args:
        plans: The edits.
        touched: Of each, whether it has touched anything.

    Raises:
        ValueError: naming the first of them and why.
    """
    for plan, found in zip(plans, touched, strict=True):
        if not found:
            raise ValueError(
                f"{plan.edit} touches nothing of layer {plan.address!r}: no sample that it names "
                "has a real step that it names"
                + (", with another real one before it" if plan.edit.hold else "")
            )
