"""Write traces to Zarr batch by batch, so that a killed process loses at most one batch."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from lstm_states.store.location import Location

UNFINISHED = "unfinished"
"""Attribute of the root until the store is complete: what is being recorded, and how far it is.

It is changed after the samples that it counts, in one atomic write.
"""

SAMPLES_PER_CHUNK = 64
_GROWING = ("sample", "row")
_ERROR = "layer_output_error"
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
        self._recording = _plain(recording)
        self._location = Location(store)
        self._root: zarr.Group
        self._arrays: dict[str, zarr.Array] = {}
        unfinished = self._location.attrs().get(UNFINISHED)
        if unfinished:
            self._resume(**unfinished)
        else:
            self._location.check_free()

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
        state = self._state(recorded, _plain(progress), rows)
        with self._room():
            # The count comes last. Killed before it, the store holds more than it says, and the
            # next append writes over that.
            if self.recorded:
                self._extend(nodes, recorded, rows)
            else:
                self._create(nodes)
            self._root.attrs.put({UNFINISHED: state})
        self.recorded, self.progress, self._rows = recorded, state["progress"], rows

    def finish(self, attrs: Mapping[str, Any]) -> None:
        """Give the root its ``attrs``, ``layers`` among them: the recording is complete."""
        if not self.recorded:
            raise ValueError(f"{self._location} has no samples; append a batch before finish")
        with self._room():
            self._open()
            for name, array in self._arrays.items():
                # An append that was cut short may have left more.
                _resize(array, self.recorded, self._rows.get(_node_of(name), 0))
            self._root.attrs.put(_plain(attrs))

    def _state(self, recorded: int, progress: dict[str, Any], rows: dict[str, int]) -> dict:
        counts = {"recorded": recorded, "rows": rows}
        return {"recording": self._recording, **counts, "progress": progress}

    def _rows_with(self, nodes: Mapping[str, xr.Dataset]) -> dict[str, int]:
        """Count, with those of ``nodes``, the rows of the nodes that have rows of their own."""
        own = {p.strip("/"): node.sizes["row"] for p, node in nodes.items() if "row" in node.sizes}
        return {path: self._rows.get(path, 0) + size for path, size in own.items()}

    def _resume(
        self, recording: dict, recorded: int, progress: dict, rows: dict | None = None
    ) -> None:
        # A part written before rows were told apart has none of its own.
        old, new = recording, self._recording
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

    def _open(self) -> None:
        if not self._arrays:
            self._root = zarr.open_group(self._location.zarr(), mode="r+")
            # Finding out whether a chunk is empty takes longer than writing it.
            with zarr.config.set({"array.write_empty_chunks": True}):
                members = self._root.members(max_depth=None)
            self._arrays = {k: v for k, v in members if isinstance(v, zarr.Array)}

    def _extend(
        self, nodes: Mapping[str, xr.Dataset], recorded: int, rows: Mapping[str, int]
    ) -> None:
        """Write another batch with Zarr; xarray can append too, but takes half as long again."""
        self._open()
        shared = nodes["/"].coords  # a tree keeps a coordinate that its root has there alone
        variables = {
            f"{path}/{name}".strip("/"): variable
            for path, node in nodes.items()
            for name, variable in node.variables.items()
            if path == "/" or name not in shared
        }
        self._check(variables)
        # What doesn't grow is kept from the first batch.
        for name, variable in variables.items():
            if set(_GROWING) & set(variable.dims):
                place = _node_of(name)
                _resize(self._arrays[name], recorded, rows.get(place, 0))
                before = {"sample": self.recorded, "row": self._rows.get(place, 0)}
                starts = [before.get(str(dim), 0) for dim in variable.dims]
                self._arrays[name][tuple(slice(start, None) for start in starts)] = variable.values
        for path, node in nodes.items():
            if _ERROR in node.attrs:
                attrs: Any = self._root[path].attrs
                attrs[_ERROR] = max(attrs.get(_ERROR, 0.0), float(node.attrs[_ERROR]))

    def _check(self, variables: dict[str, xr.Variable]) -> None:
        """Refuse a batch that leaves a gap or would be cast, before any of it is written."""
        for name in sorted(self._arrays.keys() ^ variables.keys()):
            places = ["store", "batch"] if name in self._arrays else ["batch", "store"]
            raise ValueError(
                f"{self._location}: {name!r} is in the {' and not in the '.join(places)}"
            )
        for name, variable in variables.items():
            layer, _, quantity = name.rpartition("/")
            old = _layout(self._arrays[name].dtype, _sizes(self._arrays[name]))
            new = _layout(variable.dtype, variable.sizes)
            for key in [key for key in {**new, **old} if old.get(key) != new.get(key)]:
                raise ValueError(
                    f"layer {layer or '/'!r}: {quantity!r} has {key} {new.get(key)} in the batch "
                    f"and {key} {old.get(key)} in {self._location}; they must be the same"
                )

    @contextmanager
    def _room(self) -> Iterator[None]:
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
        return tuple(most[d] if d in _GROWING else n for d, n in sizes.items())

    common = {"compressors": (_COMPRESSOR,)}
    return {str(k): {"chunks": chunks(v.sizes), **common} for k, v in node.data_vars.items()}


def _sizes(array: Any) -> dict[str, int]:
    return dict(zip(array.metadata.dimension_names or (), array.shape, strict=True))


def _layout(dtype: Any, sizes: Mapping[Any, int]) -> dict[str, Any]:
    """Return what is the same for all batches."""
    rest = {dim: size for dim, size in sizes.items() if dim not in _GROWING}
    return {**rest, "dims": tuple(sizes), "dtype": dtype}


def _node_of(name: str) -> str:
    return name.rpartition("/")[0]


def _resize(array: zarr.Array, recorded: int, rows: int) -> None:
    grown = dict(zip(_GROWING, (recorded, rows), strict=True))
    shape = tuple(grown.get(dim, n) for dim, n in _sizes(array).items())
    if shape != array.shape:
        array.resize(shape)


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``facts`` as JSON gives them back, NumPy's numbers and arrays as Python's."""

    def python(value: Any) -> Any:
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        raise TypeError(f"{value!r} can't be stored; only JSON values can")

    return json.loads(json.dumps(facts, default=python))
