"""Gather recorded batches: put each state and gate in its place in time."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import keras
import numpy as np

from lstm_states.cells import INPUTS
from lstm_states.traces.cell_trace import CellTrace

Array = np.ndarray

LEAST_BYTES = 2**23
"""Bytes of a batch that take longer to copy than threads take to start."""


class Table:
    """Arrays whose rows grow together; only rows that were filled are ever shown.

    Args:
        where: Whose arrays they are, in words.
        size: The number of rows to come, or None if it isn't known.
    """

    def __init__(self, where: str, size: int | None) -> None:
        self.filled = 0
        self._where, self._size = where, size
        self._arrays: dict[str, Array] = {}

    def room(self, name: str, shape: tuple, dtype: Any) -> Array:
        """Return the place for ``shape`` more rows of an array, which is made if need be.

        Raises:
            ValueError: if the rows have another shape than those before.
        """
        end = self.filled + shape[0]
        if name not in self._arrays:
            self._arrays[name] = np.empty((max(self._size or 0, end), *shape[1:]), dtype)
        array = self._arrays[name]
        if array.shape[1:] != shape[1:]:
            raise ValueError(
                f"{name} of {self._where} has shape {shape} in the batch after sample "
                f"{self.filled}, but {(self.filled, *array.shape[1:])} before it; pad all batches "
                "to one length"
            )
        if end > len(array):
            array.resize((end, *shape[1:]), refcheck=False)
        return array[self.filled : end]

    def put(self, name: str, values: Array) -> None:
        """Copy more rows of an array to their place."""
        self.room(name, values.shape, values.dtype)[...] = values

    def arrays(self, first: int = 0) -> dict[str, Array]:
        """Return the rows from ``first`` on by the name of an array."""
        return {name: array[first : self.filled] for name, array in self._arrays.items()}


class Gathered:
    """Arrays that grow by a batch at a time; what is added is copied to its place and not kept.

    Args:
        size: The number of samples to come, or None if it isn't known.
        own_rows: The addresses of nodes of which it is known that their rows aren't the samples.
    """

    def __init__(self, size: int | None, own_rows: Collection[str] = ()) -> None:
        self.samples = 0
        self.outputs = Table("the model", size)
        self.per_step: set[str] = set()
        self.nodes: dict[str, Table] = {}
        self.indices: dict[str, dict[str, Array]] = {}
        self.errors: dict[str, float] = {}
        self.one_mask = True
        self.own_rows = set(own_rows)
        self._size = size
        self._state_ranks: set[int] = set()

    def one_time(self) -> bool:
        """Tell whether all nodes have the same steps of the samples."""
        if self.own_rows:
            return False
        first, *others = [(len(node["steps"]), node["time"]) for node in self.indices.values()]
        return all(n == first[0] and np.array_equal(time, first[1]) for n, time in others)

    def add(
        self,
        samples: int,
        outputs: Any,
        nodes: Mapping[str, CellTrace],
        backwards: Collection[str],
    ) -> dict[str, dict[str, Array]]:
        """Add what a :class:`lstm_states.traces.recorder.Recorder` gave for a batch.

        Args:
            samples: How many samples the batch has.
            outputs: The model's outputs.
            nodes: What the cells did, by address.
            backwards: Addresses of those that took the steps from the last to the first.

        Returns:
            The arrays of the batch by address and name.

        Raises:
            ValueError: if the batch has another shape than those before; it says where.
        """
        jobs: list[partial[None]] = []
        before = {}
        for address, node in nodes.items():
            rows = len(node.mask)
            if rows != samples:
                self.own_rows.add(address)
            size = None if self._size is None else -(-self._size * rows // samples)
            table = self.nodes.setdefault(address, Table(f"layer {address!r}", size))
            before[address] = table.filled
            self.one_mask = bool(node.one_mask)
            self.errors[address] = max(node.error, self.errors.get(address, 0.0))
            self._state_ranks |= {np.ndim(state) for state in node.initial.values()}
            names = ("time", "unit")
            self.indices[address] = {name: np.asarray(getattr(node, name)) for name in names}
            self.indices[address]["steps"] = np.arange(node.mask.shape[1])
            jobs += _place(table, node, self.indices[address]["time"], address in backwards)
        self._add_outputs(samples, outputs)
        if sum(job.args[0].nbytes for job in jobs) < LEAST_BYTES:
            for job in jobs:
                job()
        else:  # NumPy copies without holding Python's lock
            with ThreadPoolExecutor(os.cpu_count()) as threads:
                list(threads.map(lambda job: job(), jobs))
        for address, node in nodes.items():
            self.nodes[address].filled += len(node.mask)
        self.samples += samples
        return {address: self.nodes[address].arrays(first) for address, first in before.items()}

    def _add_outputs(self, samples: int, outputs: Any) -> None:
        """Add the outputs; of those that have the nodes' steps, the steps that are kept."""
        index = next(iter(self.indices.values()))
        one_time = self.one_time()
        if self.per_step and not one_time:
            if not np.array_equal(index["time"], index["steps"]):
                raise ValueError(
                    f"layers {sorted(self.own_rows)} receive other rows than the samples after "
                    f"sample {self.samples}, but not before, where isel has cut the outputs: "
                    "pass outputs=False, or a batch_size that covers all samples"
                )
            self.per_step.clear()
        for name, tensor in name_outputs(outputs).items():
            values = np.asarray(tensor)
            if values.dtype.name in ("float16", "bfloat16"):  # as float32, like the states
                values = values.astype(np.float32)
            if values.shape[:1] != (samples,):
                raise ValueError(
                    f"{name} of the model has shape {values.shape} for {samples} samples; its "
                    "first axis must be the samples (outputs=False omits the outputs)"
                )
            # What has as many axes as a state may be one, whose next axis is one of space.
            in_time = values.ndim > 2 and values.ndim not in self._state_ranks
            if one_time and in_time and values.shape[1] == len(index["steps"]):
                self.per_step.add(name)
                values = values[:, index["time"]]
            self.outputs.put(name, values)
        self.outputs.filled += samples


def name_outputs(outputs: Any) -> dict[str, Any]:
    """Return nested outputs by their joined keys, numbered where these wouldn't tell them apart."""
    named: dict[str, Any] = {}
    for part, nested in outputs.items():
        flat = keras.tree.flatten_with_path(nested)
        names = ["_".join(map(str, (part, *path))) for path, _ in flat]
        # Dimensions have the name of their output and "_axis_0", and must not meet another one.
        taken = [f"{a}_axis_" for a in names]
        clear = len(set(names)) == len(names) and not any("/" in name for name in names)
        if not clear or any(name.startswith(tuple(taken)) for name in names):
            names = [f"{part}_{number}" for number in range(len(names))]
        named |= dict(zip(names, [values for _, values in flat], strict=True))
    return named


def _place(table: Table, node: CellTrace, time: Array, backwards: bool) -> list[partial[None]]:
    """Return the copies to make for one cell."""
    mask = np.asarray(node.mask)
    order = mask.shape[1] - 1 - time if backwards else time
    real = mask[:, time]
    table.put("mask", real)
    if node.edited is not None:
        table.put("edited", np.asarray(node.edited)[:, time])
    for place in ("initial", "final"):
        for name, tensor in getattr(node, place).items():
            table.put(f"{place}_{name}", np.asarray(tensor))
    jobs: list[partial[None]] = []
    for name, parts in node.steps.items():
        start = None if name not in node.initial else np.asarray(node.initial[name])
        parts_slots = [None] if name == INPUTS else node.slots
        blocks = [np.asarray(part) for part in parts]
        shape = (*real.shape, *blocks[0].shape[2:])
        room, row = table.room(name, shape, blocks[0].dtype), 0
        for values, slots in zip(blocks, parts_slots, strict=True):
            rows = slice(row, row + values.shape[1])
            row = rows.stop
            if slots is None:
                jobs.append(partial(_copy, room[rows], values, order))
                continue
            taken = np.asarray(slots)[order].T
            first = None if start is None else start[rows]
            jobs.append(partial(_scatter, room[rows], values, taken, first, real[rows]))
        assert row == len(room), (row, len(room))  # no row is left as it was found
    return jobs


def _copy(room: Array, values: Array, order: Array) -> None:
    """Copy ``values (slot, batch, unit)`` in the ``order`` of the slots asked for."""
    by_row = values.swapaxes(0, 1)
    if np.array_equal(order, np.arange(len(values))):
        room[...] = by_row
    elif np.array_equal(order, np.arange(len(values))[::-1]):
        room[...] = by_row[:, ::-1]
    else:
        room[...] = by_row[:, order]


def _scatter(room: Array, values: Array, slots: Array, start: Array | None, real: Array) -> None:
    """Copy the slot that each step ``(batch, time)`` shows: of a state, else of a gate."""
    rows = values.shape[1]
    flat = values.reshape(-1, *values.shape[2:])
    np.take(flat, np.maximum(slots, 0) * rows + np.arange(rows)[:, np.newaxis], 0, room, "clip")
    if start is None:
        room[~real] = np.nan
    else:
        before = slots < 0
        room[before] = np.repeat(start, before.sum(1), axis=0)
