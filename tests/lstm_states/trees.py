"""Trees of traces laid out by hand."""

import numpy as np
import xarray as xr

SPACE = ("height", "width")


def node(mask=None, *, kind="custom", go_backwards=0, row="sample", **quantities):
    """A layer's trace of quantities ``(sample, time, ..., unit)``."""
    values = {name: np.asarray(array, float) for name, array in quantities.items()}
    shape = next(iter(values.values())).shape
    mask = np.ones(shape[:2], bool) if mask is None else np.asarray(mask, bool)
    dims = (row, "time", *SPACE[: len(shape) - 3], "unit")
    data = {name: (dims, array) for name, array in values.items()}
    attrs = {"cell": kind, "go_backwards": go_backwards}
    return xr.Dataset(data | {"mask": (dims[:2], mask)}, attrs=attrs)


def tree(**layers):
    return xr.DataTree.from_dict({f"/{name}": layer for name, layer in layers.items()})
