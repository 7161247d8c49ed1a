"""The arrays of a store that holds a first batch: what else fits them, and where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr
import zarr

from lstm_states.store.location import Location

GROWING = ("sample", "row")
"""Dimensions along which a store grows."""

ERROR = "layer_output_error"
"""The attribute of a layer of which the largest of all batches is kept."""


class StoredArrays:
    """The arrays of a store that holds a first batch.

    Args:
        location: The place of the store.

    Attributes:
        root: The Zarr group.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self.root = zarr.open_group(location.zarr(), mode="r+")
        # Finding out whether a chunk is empty takes longer than writing it.
        with zarr.config.set({"array.write_empty_chunks": True}):
            members = self.root.members(max_depth=None)
        self._arrays = {name: array for name, array in members if isinstance(array, zarr.Array)}

    def resize(self, samples: int, rows: Mapping[str, int]) -> None:
        """Give all arrays these many samples, and those of a node with rows of its own its rows."""
        for name, array in self._arrays.items():
            _resize(array, {"sample": samples, "row": rows.get(_node_of(name), 0)})

    def grow(self, samples: int) -> None:
        """Give all arrays these many samples, if they have fewer."""
        for array in self._arrays.values():
            _resize(array, {"sample": max(samples, _sizes(array).get("sample", 0))})

    def write(self, nodes: Mapping[str, xr.Dataset], samples: int, rows: Mapping[str, int]) -> None:
        """Write a batch behind so many samples and rows, where the arrays have room for it.

        What doesn't grow is kept from the first batch.
        """
        for name, variable in _variables(nodes).items():
            if set(GROWING) & set(variable.dims):
                before = {"sample": samples, "row": rows.get(_node_of(name), 0)}
                starts = [(before.get(str(dim), 0), size) for dim, size in variable.sizes.items()]
                place = tuple(slice(start, start + size) for start, size in starts)
                self._arrays[name][place] = variable.values

    def raise_errors(self, errors: Mapping[str, float]) -> None:
        """Keep the largest error of each layer, by its path."""
        for path, error in errors.items():
            attrs: Any = self.root[path].attrs
            if error > attrs.get(ERROR, 0.0):
                attrs[ERROR] = error

    def check(self, nodes: Mapping[str, xr.Dataset]) -> None:
        """Refuse a batch that leaves a gap or would be cast, before any of it is written.

        Raises:
            ValueError: naming what differs from the batches before.
        """
        variables = _variables(nodes)
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

    def check_start(self, samples: int) -> None:
        """Refuse samples behind so many if they begin inside of a chunk, which has one writer."""
        for name, array in self._arrays.items():
            chunks = dict(zip(_sizes(array), array.chunks, strict=True))
            if samples % chunks.get("sample", 1):
                raise ValueError(
                    f"a batch begins at sample {samples}, but {name!r} in {self._location} has "
                    f"chunks of {chunks['sample']} samples, each of which has one writer: with "
                    "client, all batches but the last must be of one size, at most 64 or a "
                    "multiple of it"
                )


def errors_of(nodes: Mapping[str, xr.Dataset]) -> dict[str, float]:
    """Return the error of each layer by its path."""
    return {path: float(node.attrs[ERROR]) for path, node in nodes.items() if ERROR in node.attrs}


def _variables(nodes: Mapping[str, xr.Dataset]) -> dict[str, xr.Variable]:
    shared = nodes["/"].coords  # a tree keeps a coordinate that its root has there alone
    return {
        f"{path}/{name}".strip("/"): variable
        for path, node in nodes.items()
        for name, variable in node.variables.items()
        if path == "/" or name not in shared
    }


def _sizes(array: Any) -> dict[str, int]:
    return dict(zip(array.metadata.dimension_names or (), array.shape, strict=True))


def _resize(array: zarr.Array, sizes: Mapping[str, int]) -> None:
    shape = tuple(sizes.get(dim, size) for dim, size in _sizes(array).items())
    if shape != array.shape:
        array.resize(shape)


def _layout(dtype: Any, sizes: Mapping[Any, int]) -> dict[str, Any]:
    """Return what is the same for all batches."""
    rest = {dim: size for dim, size in sizes.items() if dim not in GROWING}
    return {**rest, "dims": tuple(sizes), "dtype": dtype}


def _node_of(name: str) -> str:
    return name.rpartition("/")[0]
