"""Write and open traces as Zarr stores, on disk or at any address that fsspec supports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import xarray as xr

from lstm_states.store.arrays import GROWING
from lstm_states.store.location import Location
from lstm_states.store.writer import SAMPLES_PER_CHUNK, UNFINISHED, TraceWriter, datasets_of

CHUNK_BYTES = 2**22
"""Of the largest quantity in a chunk that ``open_traces`` chooses: a measure holds some of them."""


class IncompleteTracesError(RuntimeError):
    """A store that contains only a part of its recording."""


def write_traces(traces: xr.DataTree, path: str | Path) -> None:
    """Write ``traces`` to a new Zarr store at ``path``, chunked by sample.

    Raises:
        FileExistsError: if ``path`` exists already.
        ValueError: if ``attrs["layers"]`` is missing or names a layer that ``traces`` lacks.
    """
    layers = traces.attrs.get("layers")
    held = [node.path.strip("/") for node in traces.descendants]
    if layers is None or not set(layers) <= set(held):
        raise ValueError(f"attrs['layers'] is {layers!r}; it must list the layers, some of {held}")
    Location(path).check_free()  # a writer would resume what a killed write_traces left
    writer = TraceWriter(path, recording={"made_by": "write_traces"})
    writer.append(datasets_of(traces), {})
    writer.finish({str(name): value for name, value in traces.attrs.items()})


def open_traces(
    path: str | Path, *, chunks: Mapping[str, int] | Literal["auto"] | None = None
) -> xr.DataTree:
    """Open the traces stored at ``path``. Values are read on first use.

    Args:
        path: A path, or an address that fsspec supports.
        chunks: ``"auto"`` for Dask's arrays (extra ``dask``), of which the measures read some
            samples at a time: stores larger than memory. A chunk is about 4 MiB of the largest
            quantity, in whole chunks of the store. Or how many samples a chunk has, ``{"sample":
            640}``, or of a layer with rows of its own how many rows. None for arrays that are read
            as a whole, and kept.

    Raises:
        FileNotFoundError: if there are no traces at ``path``.
        IncompleteTracesError: if the recording is incomplete.
        ModuleNotFoundError: if ``chunks`` are given without Dask.
        ValueError: if ``chunks`` is something else; ``path`` is not looked at then.

    Example:
        >>> open_traces("reports/stacked/states.zarr")["lstm/cell"].isel(sample=0)
        >>> measure_states(open_traces("states.zarr", chunks="auto"))
    """
    if chunks is not None:
        _check_chunks(chunks)
    location = Location(path)
    attrs = location.attrs()
    if UNFINISHED in attrs:
        raise IncompleteTracesError(
            f"{path} holds only the first {attrs[UNFINISHED]['recorded']} samples of a recording; "
            "repeat the call of record_traces to resume it (if it is from write_traces, remove it)"
        )
    if "layers" not in attrs:
        raise FileNotFoundError(f"no traces at {path}; record_traces and write_traces write them")
    stored = _open(location, None)
    if chunks is not None:
        sizes = _chunk_sizes(stored) if chunks == "auto" else dict(chunks)
        stored = _open(location, sizes)
    # A folder has no order of its own; the layers have.
    nodes = {layer: stored[layer].to_dataset() for layer in attrs["layers"]}
    return xr.DataTree.from_dict({"/": stored.to_dataset(), **nodes})


def _open(location: Location, chunks: Mapping[str, int] | None) -> xr.DataTree:
    return xr.open_datatree(location.zarr(), engine="zarr", chunks=chunks, consolidated=False)


def _check_chunks(chunks: Any) -> None:
    if isinstance(chunks, Mapping):
        known = bool(chunks) and set(chunks) <= set(GROWING)
        is_right = known and all(type(size) is int and size > 0 for size in chunks.values())
    else:
        is_right = isinstance(chunks, str) and chunks == "auto"
    if not is_right:
        raise ValueError(
            f"chunks is {chunks!r}; it must be None, 'auto', or sizes, whole numbers above 0, "
            f"along some of {GROWING}, such as {{'sample': 640}}"
        )
    try:
        import dask.array  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "chunks need Dask, which the extra installs: pip install 'lstm-states[dask]'",
            name="dask",
        ) from error


def _chunk_sizes(stored: xr.DataTree) -> dict[str, int]:
    """Return how many samples and rows make :data:`CHUNK_BYTES` of the largest quantity."""
    sizes = {}
    for dim in GROWING:
        held = [v for node in stored.subtree for v in node.variables.values() if dim in v.dims]
        most = max((v.nbytes / max(1, v.sizes[dim]) for v in held), default=1.0)
        sizes[dim] = max(1, int(CHUNK_BYTES / most) // SAMPLES_PER_CHUNK) * SAMPLES_PER_CHUNK
    return sizes
