"""Write and open traces as Zarr stores, on disk or at any address that fsspec supports."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from lstm_states.store.location import Location
from lstm_states.store.writer import UNFINISHED, TraceWriter, datasets_of


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


def open_traces(path: str | Path) -> xr.DataTree:
    """Open the traces stored at ``path``. Values are read on first use.

    Raises:
        FileNotFoundError: if there are no traces at ``path``.
        IncompleteTracesError: if the recording is incomplete.

    Example:
        >>> open_traces("reports/stacked/states.zarr")["lstm/cell"].isel(sample=0)
    """
    location = Location(path)
    attrs = location.attrs()
    if UNFINISHED in attrs:
        raise IncompleteTracesError(
            f"{path} holds only the first {attrs[UNFINISHED]['recorded']} samples of a recording; "
            "repeat the call of record_traces to resume it (if it is from write_traces, remove it)"
        )
    if "layers" not in attrs:
        raise FileNotFoundError(f"no traces at {path}; record_traces and write_traces write them")
    stored = xr.open_datatree(location.zarr(), engine="zarr", chunks=None, consolidated=False)
    # A folder has no order of its own; the layers have.
    nodes = {layer: stored[layer].to_dataset() for layer in attrs["layers"]}
    return xr.DataTree.from_dict({"/": stored.to_dataset(), **nodes})
