"""Build the labelled tree from the gathered values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from lstm_states.cells import INPUTS, layers_of
from lstm_states.kernels.cells import input_dims, kind_of, state_dims, units_of
from lstm_states.traces.gather import Array, Gathered
from lstm_states.traces.traced_layers import Cells, UnsupportedLayerError


@dataclass(frozen=True)
class Layout:
    """How what is gathered becomes the tree that :func:`lstm_states.record_traces` describes.

    Args:
        cells: Layer and cell by the cell's address.
        attrs: What the root says of the model.
        kept: The dimensions of which only a part is kept; of ``sample`` which samples they are.
    """

    cells: Cells
    attrs: Mapping[str, Any]
    kept: Mapping[str, Array | None]

    def cell(self, address: str) -> tuple[keras.layers.RNN, keras.Layer]:
        """Return the layer and the cell of a node; the calls of one lie below its address."""
        return self.cells.get(address) or self.cells[address.rpartition("/")[0]]

    def backwards(self, nodes: Iterable[str]) -> set[str]:
        """Return the addresses of the nodes that take the steps from the last to the first."""
        return {address for address in nodes if self.cell(address)[0].go_backwards}

    def datasets(self, gathered: Gathered, first: int = 0) -> dict[str, xr.Dataset]:
        """Lay out what was gathered from the sample ``first`` on: datasets by path."""
        root = xr.Dataset(attrs={**self.attrs, "layers": list(gathered.nodes)})
        for name, values in gathered.outputs.arrays().items():
            inner = ("time",) if name in gathered.per_step else ()
            rest = tuple(f"{name}_axis_{axis}" for axis in range(values.ndim - 1 - len(inner)))
            root[name] = ("sample", *inner, *rest), values
        if gathered.one_time() and gathered.one_mask:
            real = {"long_name": "true where the step is real"}
            masks = [table.arrays()["mask"] for table in gathered.nodes.values()]
            root["mask"] = ("sample", "time"), masks[0], real
        nodes = {"/": self._labelled(root, next(iter(gathered.indices.values())), first)}
        for address, table in gathered.nodes.items():
            own = address in gathered.own_rows
            node = _node(*self.cell(address), table.arrays(), gathered.errors[address], own)
            nodes[f"/{address}"] = self._labelled(node, gathered.indices[address], first)
        # Without an index, isel fails at nodes that lack dimensions which the root has.
        if gathered.own_rows or any("/" in address for address in gathered.nodes):
            sizes = {dim: root.sizes[dim] for dim in ("sample", "time") if dim in root.sizes}
            numbered = {d: first * (d == "sample") + np.arange(n) for d, n in sizes.items()}
            nodes["/"] = nodes["/"].assign_coords(numbered | dict(nodes["/"].coords))
        return nodes

    def _labelled(self, node: xr.Dataset, indices: Mapping[str, Array], first: int) -> xr.Dataset:
        """Label the dimensions of which only a part is kept."""
        labels, samples = dict(indices), self.kept.get("sample")
        if samples is not None and "sample" in node.sizes:
            labels["sample"] = samples[first : first + node.sizes["sample"]]
        node = node.assign_coords({dim: labels[dim] for dim in self.kept if dim in node.dims})
        if "time" in self.kept and "time" in node.dims:
            # The first steps of more look like all steps of fewer.
            node["time"].attrs["steps"] = len(indices["steps"])
        return node


def node_of_samples(traces: xr.DataTree, address: str) -> xr.Dataset:
    """Return what a tree holds of a cell that runs once, on the samples themselves.

    Raises:
        UnsupportedLayerError: if its layer is called several times, or receives other rows.
    """
    nodes = layers_of(traces)
    if address not in nodes:
        raise UnsupportedLayerError(
            f"layer {address!r} is called several times: an edit can't tell its calls apart"
        )
    node = nodes[address]
    if "row" in node.dims:
        raise UnsupportedLayerError(f"layer {address!r} receives other rows than the samples")
    return node


def describe_model(model: keras.Model) -> dict[str, str]:
    """Return what says which model and versions a trace comes from."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return {
        "model": model.name,
        "weights_sha256": digest.hexdigest(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
    }


def _node(
    layer: keras.layers.RNN,
    cell: keras.Layer,
    arrays: Mapping[str, Array],
    error: float,
    own_rows: bool,
) -> xr.Dataset:
    kind, rows = kind_of(cell), "row" if own_rows else "sample"
    dims = state_dims(cell)
    variables: dict[str, tuple] = {
        name: ((rows, "time", *dims), arrays[name], {"long_name": long_name})
        for name, long_name in kind.long_names.items()
        if name in arrays
    }
    if INPUTS in arrays:
        given = {"long_name": "what the cell was given"}
        variables[INPUTS] = (rows, "time", *input_dims(cell)), arrays[INPUTS], given
    for name in kind.states:
        for end in (f"initial_{name}", f"final_{name}"):
            if end in arrays:
                variables[end] = (rows, *dims), arrays[end]
    variables["mask"] = (rows, "time"), arrays["mask"]
    if "edited" in arrays:
        edited = {"long_name": "true where a quantity was edited"}
        variables["edited"] = (rows, "time"), arrays["edited"], edited
    attrs = {
        "cell": kind.name,
        "units": units_of(cell),
        "go_backwards": int(layer.go_backwards),
        "layer_output_error": error,
    }
    if own_rows:
        attrs["rows"] = "rows that the layer receives; they are not the model's samples"
    attrs |= {name: _name(getattr(cell, name)) for name in kind.activations}
    return xr.Dataset(variables, attrs=attrs)


def _name(activation: Any) -> str:
    """The name by which Keras knows an activation, or one in brackets that it doesn't know."""
    name = str(getattr(activation, "__name__", type(activation).__name__))
    try:
        known = keras.activations.get(name) is activation
    except (ValueError, TypeError):
        known = False
    return name if known else f"<{name}>"
