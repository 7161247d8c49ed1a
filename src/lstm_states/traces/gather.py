"""Gather what was recorded batch by batch: put each state and gate in its place in time."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import keras
import numpy as np

Array = np.ndarray


class Gathered:
    """Arrays that grow by a batch at a time; what is added is copied to its place and not kept.

    Args:
        size: The number of samples to come, or None if it isn't known.
    """

    def __init__(self, size: int | None) -> None:
        self.samples = 0
        self.outputs: dict[str, Array] = {}
        self.nodes: dict[str, dict[str, Array]] = {}
        self.indices: dict[str, dict[str, Array]] = {}
        self.errors: dict[str, float] = {}
        self.one_mask = True
        self._size = size

    def add(
        self, outputs: Any, nodes: Mapping[str, Mapping[str, Any]], backwards: Collection[str]
    ) -> None:
        """Add what a :class:`lstm_states.traces.recorder.Recorder` gave for a batch.

        Args:
            outputs: The model's outputs.
            nodes: What the cells did, by address.
            backwards: Addresses of those that took the steps from the last to the first.

        Raises:
            ValueError: if the batch has another shape than those before; it says where.
        """
        for path, tensor in keras.tree.flatten_with_path(outputs):
            name, values = "_".join(map(str, path)), np.asarray(tensor)
            self._room(self.outputs, name, values.shape, values.dtype, "the model")[...] = values
        rows = len(next(iter(nodes.values()))["mask"])
        jobs: list[Callable[[], None]] = []
        for address, node in nodes.items():
            self.one_mask = bool(node["one_mask"])
            self.errors[address] = max(float(node["error"]), self.errors.get(address, 0.0))
            self.indices[address] = {name: np.asarray(node[name]) for name in ("time", "unit")}
            jobs += self._place(address, node, address in backwards)
        # NumPy copies without holding Python's lock.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(lambda job: job(), jobs))
        self.samples += rows

    def _place(
        self, address: str, node: Mapping[str, Any], backwards: bool
    ) -> list[Callable[[], None]]:
        """Return the copies to make for one cell."""
        arrays, where = self.nodes.setdefault(address, {}), f"layer {address!r}"
        time, mask = self.indices[address]["time"], np.asarray(node["mask"])
        order = mask.shape[1] - 1 - time if backwards else time
        real = mask[:, time]
        self._room(arrays, "mask", real.shape, real.dtype, where)[...] = real
        for place in ("initial", "final"):
            for name, tensor in node[place].items():
                values = np.asarray(tensor)
                room = self._room(arrays, f"{place}_{name}", values.shape, values.dtype, where)
                room[...] = values
        jobs: list[Callable[[], None]] = []
        for name, parts in node["steps"].items():
            start = None if name not in node["initial"] else np.asarray(node["initial"][name])
            blocks = [np.asarray(part) for part in parts]
            shape = (*real.shape, blocks[0].shape[2])
            room, row = self._room(arrays, name, shape, blocks[0].dtype, where), 0
            for values, slots in zip(blocks, node["slots"], strict=True):
                rows = slice(row, row + values.shape[1])
                row = rows.stop
                if slots is None:
                    jobs.append(partial(_copy, room[rows], values, order))
                    continue
                taken = np.asarray(slots)[order].T
                first = None if start is None else start[rows]
                jobs.append(partial(_scatter, room[rows], values, taken, first, real[rows]))
        return jobs

    def _room(
        self, arrays: dict[str, Array], name: str, shape: tuple, dtype: Any, where: str
    ) -> Array:
        """Return the place for ``shape`` more rows of an array, which is made if need be."""
        end = self.samples + shape[0]
        if name not in arrays:
            arrays[name] = np.empty((self._size or end, *shape[1:]), dtype)
        array = arrays[name]
        if array.shape[1:] != shape[1:]:
            raise ValueError(
                f"{name} of {where} has shape {shape} in the batch after sample {self.samples}, "
                f"but {(self.samples, *array.shape[1:])} before it; pad all batches to one length"
            )
        if end > len(array):
            array.resize((end, *shape[1:]), refcheck=False)
        return array[self.samples : end]


def _copy(room: Array, values: Array, order: Array) -> None:
    """Copy ``values (slot, batch, unit)`` in the ``order`` of the slots asked for."""
    by_row = values.transpose(1, 0, 2)
    if np.array_equal(order, np.arange(len(values))):
        room[...] = by_row
    elif np.array_equal(order, np.arange(len(values))[::-1]):
        room[...] = by_row[:, ::-1]
    else:
        room[...] = by_row[:, order]


def _scatter(room: Array, values: Array, slots: Array, start: Array | None, real: Array) -> None:
    """Copy the slot that each step ``(batch, time)`` shows: of a state, else of a gate."""
    rows = values.shape[1]
    flat = values.reshape(-1, values.shape[2])
    np.take(flat, np.maximum(slots, 0) * rows + np.arange(rows)[:, np.newaxis], 0, room, "clip")
    if start is None:
        room[~real] = np.nan
    else:
        before = slots < 0
        room[before] = np.repeat(start, before.sum(1), axis=0)
