"""Write traces to Zarr batch by batch, so that a killed process loses at most one batch."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from lstm_states.store.arrays import GROWING, StoredArrays, errors_of
from lstm_states.store.location import Location

UNFINISHED = "unfinished"
"""Attribute of the root until the store is complete: what is being recorded, and how far it is.

It is changed after the samples that it counts, in one atomic write.
"""

SAMPLES_PER_CHUNK = 64
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

# Floats of gates hardly compress, their bit planes do: smaller and faster than Zarr's own zstd.
_COMPRESSOR = BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle")


def datasets_of(traces: xr.DataTree) -> dict[str, xr.Dataset]:
    """Return the datasets of a tree by path."""
    return {node.path: node.to_dataset(inherit=False) for node in traces.subtree}


class TraceWriter:
    """Write a recording to Zarr batch by batch; a half-written one is resumed.

    The process may be killed at any moment: local files are renamed into place, and the objects of
    a cloud store are always whole. Only one writer may be at work in a store.

    Args:
        store: A path, or an address like ``s3://bucket/name`` or ``memory://name``.
        recording: What is being recorded, in JSON types; nothing else is resumed.

    Attributes:
        recording: What is being recorded.
        recorded: Samples that are safe in the store.
        progress: What was given together with the last of them.

    Raises:
        FileExistsError: if ``store`` holds anything but a half-written recording.
        ValueError: if it holds a half-written recording of something else.

    Example:
        >>> writer = TraceWriter("states.zarr", recording={"data": "test part"})
        >>> for start in range(writer.recorded, len(x), 256):
        ...     traces = record_traces(model, x[start : start + 256])
        ...     writer.append(datasets_of(traces), {})
        >>> writer.finish({"layers": ["lstm", "lstm_1"]})
    """

    def __init__(self, store: str | Path, *, recording: Mapping[str, Any]):
        self.recorded = 0
        self._rows: dict[str, int] = {}
        self.progress: dict[str, Any] = {}
        self.recording = _plain(recording)
        self._location = Location(store)
        self._root: zarr.Group
        self._arrays: StoredArrays | None = None
        unfinished = self._location.attrs().get(UNFINISHED)
        if unfinished:
            self._resume(**unfinished)
        else:
            self._location.check_free()

    def __str__(self) -> str:
        """Name the store, for messages."""
        return str(self._location)

    def append(self, nodes: Mapping[str, xr.Dataset], progress: Mapping[str, Any]) -> None:
        """Add a batch that is laid out like the result of ``record_traces``; on return it is safe.

        Args:
            nodes: The batch's datasets by path, the root's is ``/``. (Not a tree: its nodes refer
                to each other, so that Python would keep batches until it looks for cycles.)
                They grow the store along ``sample``, and along ``row`` where a node has rows of
                its own. Variables without either are kept from the first batch, and so are
                attributes, but for the largest ``layer_output_error``.
            progress: A small dict of JSON types to find in ``progress`` on resuming.

        Raises:
            ValueError: if the batch doesn't fit the store, which stays as it was.
            OSError: with ENOSPC if the store has no room; it can be resumed.
        """
        recorded, rows = self.recorded + _sample_count(nodes), self._rows_with(nodes)
        progress = _plain(progress)
        with self.room():
            # The count comes last. Killed before it, the store holds more than it says, and the
            # next append writes over that.
            if self.recorded:
                self._extend(nodes, recorded, rows)
            else:
                self._create(nodes)
            self._count(recorded, rows, progress)

    def reserve(self, before: int, samples: int) -> None:
        """Make room for ``samples`` behind so many ``before``, which :func:`write_part` adds.

        Raises:
            ValueError: if they begin inside of a chunk, which has one writer.
        """
        with self.room():
            self._open().check_start(before)
            self._open().grow(before + samples)

    def count(self, samples: int, errors: Mapping[str, float], progress: Mapping[str, Any]) -> None:
        """Count ``samples`` that :func:`write_part` has added behind the others: they are safe.

        Args:
            samples: How many.
            errors: Of each layer by its path, what ``write_part`` returned.
            progress: As :meth:`append` takes it.
        """
        with self.room():
            self._open().raise_errors(errors)
            self._count(self.recorded + samples, {}, _plain(progress))

    def finish(self, attrs: Mapping[str, Any]) -> None:
        """Give the root its ``attrs``, ``layers`` among them: the recording is complete."""
        if not self.recorded:
            raise ValueError(f"{self._location} has no samples; append a batch before finish")
        with self.room():
            # An append that was cut short may have left more.
            self._open().resize(self.recorded, self._rows)
            self._root.attrs.put(_plain(attrs))

    def _state(self, recorded: int, progress: dict[str, Any], rows: dict[str, int]) -> dict:
        counts = {"recorded": recorded, "rows": rows}
        return {"recording": self.recording, **counts, "progress": progress}

    def _count(self, recorded: int, rows: dict[str, int], progress: dict[str, Any]) -> None:
        self._root.attrs.put({UNFINISHED: self._state(recorded, progress, rows)})
        self.recorded, self.progress, self._rows = recorded, progress, rows

    def _rows_with(self, nodes: Mapping[str, xr.Dataset]) -> dict[str, int]:
        """Count, with those of ``nodes``, the rows of the nodes that have rows of their own."""
        own = {p.strip("/"): node.sizes["row"] for p, node in nodes.items() if "row" in node.sizes}
        return {path: self._rows.get(path, 0) + size for path, size in own.items()}

    def _resume(
        self, recording: dict, recorded: int, progress: dict, rows: dict | None = None
    ) -> None:
        # A part written before rows were told apart has none of its own.
        old, new = recording, self.recording
        differing = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        if differing:
            facts = [f"{k} is {old.get(k)!r} there, not {new.get(k)!r}" for k in differing]
            raise ValueError(
                f"{self._location} holds a part of another recording: {'; '.join(facts)}; "
                "repeat the same call, remove it or choose another path"
            )
        self.recorded, self.progress, self._rows = recorded, progress, rows or {}
        self._location.remove_temporary()

    def _create(self, nodes: Mapping[str, xr.Dataset]) -> None:
        """Write the first batch with xarray, which makes the groups and arrays."""
        attrs: dict[str, Any] = {UNFINISHED: self._state(0, {}, {})}
        nodes = {path: node.drop_encoding() for path, node in nodes.items()}
        nodes["/"].attrs = attrs
        tree = xr.DataTree.from_dict(nodes)  # what doesn't fit together leaves nothing behind
        store = self._location.zarr()
        # The root says first that the store is unfinished: only then may the rest of a first batch
        # that was cut short be removed.
        self._root = zarr.open_group(store, mode="a", zarr_format=3, attributes=attrs)
        self._location.remove_all_but_root()
        encoding = {path: _encoding(node) for path, node in nodes.items()}
        # Zarr format 3 has no consolidated metadata yet; writing it only warns.
        options: dict[str, Any] = {"consolidated": False, "write_empty_chunks": True}
        tree.to_zarr(store, mode="a", encoding=encoding, **options)

    def _open(self) -> StoredArrays:
        if self._arrays is None:
            self._arrays = StoredArrays(self._location)
            self._root = self._arrays.root
        return self._arrays

    def _extend(
        self, nodes: Mapping[str, xr.Dataset], recorded: int, rows: Mapping[str, int]
    ) -> None:
        """Write another batch with Zarr; xarray can append too, but takes half as long again."""
        arrays = self._open()
        arrays.check(nodes)
        arrays.resize(recorded, rows)
        arrays.write(nodes, self.recorded, self._rows)
        arrays.raise_errors(errors_of(nodes))

    @contextmanager
    def room(self) -> Iterator[None]:
        """Say of a store without room what is safe in it."""
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL:
                raise
            # What was counted is whole, whatever of this batch got in.
            message = (
                f"{error.strerror}: {self.recorded} samples are safe in {self._location}; "
                "free some space, then repeat the call of record_traces to resume"
            )
            raise OSError(errno.ENOSPC, message) from error


def write_part(
    store: str, recording: Mapping[str, Any], nodes: Mapping[str, xr.Dataset], before: int
) -> dict[str, float]:
    """Write a batch behind so many samples of a store that another process counts.

    Args:
        store: The place of a half-written recording, which has room for the batch.
        recording: What is being recorded there.
        nodes: The batch, as :meth:`TraceWriter.append` takes it.
        before: The number of samples before it.

    Returns:
        The error of each layer by its path, for :meth:`TraceWriter.count`.

    Raises:
        FileNotFoundError: if this recording isn't at this place.
        ValueError: if the batch doesn't fit the store, which stays as it was.
    """
    location = Location(store)
    if location.attrs().get(UNFINISHED, {}).get("recording") != recording:
        raise FileNotFoundError(
            f"{store} on {gethostname()} isn't the store that is being recorded: all workers must "
            "reach it by the same path or address, and nothing else may change it meanwhile"
        )
    arrays = StoredArrays(location)
    arrays.check(nodes)
    arrays.write(nodes, before, {})
    return errors_of(nodes)


def _sample_count(nodes: Mapping[str, xr.Dataset]) -> int:
    sizes = {node.sizes["sample"] for node in nodes.values() if "sample" in node.sizes}
    if len(sizes) > 1 or 0 in sizes:
        raise ValueError(
            f"the nodes hold {sorted(sizes)} samples; all must hold the same number, at least 1"
        )
    return max(sizes, default=1)  # one sample has no such dimension


def _encoding(node: xr.Dataset) -> dict[str, dict[str, Any]]:
    def chunks(sizes: Mapping[Any, int]) -> tuple[int, ...]:
        # An array that begins with no row may grow.
        most = {dim: max(1, min(n, SAMPLES_PER_CHUNK)) for dim, n in sizes.items()}
        return tuple(most[d] if d in GROWING else n for d, n in sizes.items())

    common = {"compressors": (_COMPRESSOR,)}
    return {str(k): {"chunks": chunks(v.sizes), **common} for k, v in node.data_vars.items()}


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``facts`` as JSON gives them back, NumPy's numbers and arrays as Python's."""

    def python(value: Any) -> Any:
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        raise TypeError(f"{value!r} can't be stored; only JSON values can")

    return json.loads(json.dumps(facts, default=python))
