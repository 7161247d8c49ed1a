"""Keep traces on disk as Zarr."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

SAMPLES_PER_CHUNK = 64


def write_traces(traces: xr.DataTree, path: str | Path) -> None:
    """Write ``traces`` to a new Zarr store at ``path``, chunked by sample.

    Raises:
        FileExistsError: if there is something at ``path`` already.
    """
    if Path(path).exists():
        raise FileExistsError(f"{path} exists; remove it or choose another path")
    encoding = {
        node.path: {
            str(name): {"chunks": (min(SAMPLES_PER_CHUNK, array.shape[0]), *array.shape[1:])}
            for name, array in node.data_vars.items()
        }
        for node in traces.subtree
    }
    # Zarr format 3 has no consolidated metadata yet; writing it only warns.
    traces.to_zarr(path, mode="w-", encoding=encoding, consolidated=False)


def open_traces(path: str | Path) -> xr.DataTree:
    """Open the traces stored at ``path``; values are read when they are first used.

    Raises:
        FileNotFoundError: if there is no store at ``path``.

    Example:
        >>> open_traces("reports/stacked/states.zarr")["lstm/cell"].isel(sample=0)
    """
    if not Path(path).is_dir():
        raise FileNotFoundError(f"no traces at {path}; record_traces and write_traces make them")
    stored = xr.open_datatree(path, engine="zarr", chunks=None, consolidated=False)
    # A folder has no order of its own; the layers have.
    nodes = {layer: stored[layer].to_dataset() for layer in stored.attrs["layers"]}
    return xr.DataTree.from_dict({"/": stored.to_dataset(), **nodes})
