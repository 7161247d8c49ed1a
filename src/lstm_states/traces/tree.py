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

Variables = dict[str, tuple]
"""By name the dimensions, the values and, of some, the attributes, as xarray takes them."""


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

    def tree(self, gathered: Gathered) -> xr.DataTree:
        """Return the tree of all that was gathered."""
        nodes = self.datasets(gathered)
        tree = xr.DataTree(nodes.pop("/"))
        _attach(tree, {path.strip("/"): node for path, node in nodes.items()})
        return tree

    def datasets(self, gathered: Gathered, first: int = 0) -> dict[str, xr.Dataset]:
        """Lay out what was gathered from the sample ``first`` on: datasets by path."""
        root: Variables = {}
        for name, values in gathered.outputs.arrays().items():
            inner = ("time",) if name in gathered.per_step else ()
            rest = tuple(f"{name}_axis_{axis}" for axis in range(values.ndim - 1 - len(inner)))
            root[name] = ("sample", *inner, *rest), values
        if gathered.one_time() and gathered.one_mask:
            real = {"long_name": "true where the step is real"}
            masks = [table.arrays()["mask"] for table in gathered.nodes.values()]
            root["mask"] = ("sample", "time"), masks[0], real
        labels = self._labels(root, next(iter(gathered.indices.values())), first)
        # Without an index, isel fails at nodes that lack dimensions which the root has.
        if gathered.own_rows or any("/" in address for address in gathered.nodes):
            for dim, size in _sizes(root).items():
                start = first if dim == "sample" else 0
                if dim in ("sample", "time"):
                    labels.setdefault(dim, (dim, start + np.arange(size)))
        attrs = {**self.attrs, "layers": list(gathered.nodes)}
        nodes = {"/": _dataset(root, labels, attrs)}
        for address, table in gathered.nodes.items():
            own = address in gathered.own_rows
            cell = self.cell(address)
            node = _variables(cell[1], table.arrays(), "row" if own else "sample")
            labels = self._labels(node, gathered.indices[address], first)
            attrs = _describe_cell(*cell, gathered.errors[address], own)
            nodes[f"/{address}"] = _dataset(node, labels, attrs)
        return nodes

    def _labels(self, node: Variables, indices: Mapping[str, Array], first: int) -> Variables:
        """Return labels of the dimensions of which only a part is kept."""
        sizes, samples = _sizes(node) if self.kept else {}, self.kept.get("sample")
        labels: Variables = {dim: (dim, indices[dim]) for dim in self.kept if dim in indices}
        if samples is not None and "sample" in sizes:
            labels["sample"] = "sample", samples[first : first + sizes["sample"]]
        if "time" in labels:
            # The first steps of more look like all steps of fewer.
            labels["time"] = "time", indices["time"], {"steps": len(indices["steps"])}
        return {dim: labels[dim] for dim in self.kept if dim in sizes}


def _dataset(variables: Variables, labels: Variables, attrs: Mapping[str, Any]) -> xr.Dataset:
    # In the numbers of tuples, xarray looks for Dask's arrays: it imports Dask if that is there.
    made = {}
    for name, (dims, values, *rest) in variables.items():
        plain = values.dtype.kind not in "OMm"
        made[name] = xr.Variable(dims, values, rest[0] if rest else None, fastpath=plain)
    return xr.Dataset(made, labels, attrs)


def _sizes(variables: Variables) -> dict[str, int]:
    """Return the size of each dimension."""
    return {
        dim: size
        for dims, values, *_ in variables.values()
        for dim, size in zip(dims, values.shape, strict=True)
    }


def _attach(tree: xr.DataTree, nodes: Mapping[str, xr.Dataset]) -> None:
    """Attach datasets to ``tree`` by their address from there.

    As ``DataTree.from_dict`` does it, which copies each of them twice more. From the top down:
    what is attached drops the coordinates that it inherits.
    """
    below: dict[str, dict[str, xr.Dataset]] = {}
    for address in sorted(nodes, key=lambda address: address.count("/")):
        name, _, rest = address.partition("/")
        below.setdefault(name, {})[rest] = nodes[address]
    tree.children = {name: xr.DataTree(inner.pop("", None)) for name, inner in below.items()}
    for name, inner in below.items():
        if inner:
            _attach(tree.children[name], inner)


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
    for weight in model.weights:
        variable = weight.value  # Keras reads one in several steps
        read = tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
        digest.update(np.asarray(read).tobytes())
    return {
        "model": model.name,
        "weights_sha256": digest.hexdigest(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
    }


def _variables(cell: keras.Layer, arrays: Mapping[str, Array], rows: str) -> Variables:
    """Return the variables of a cell, with ``rows`` as their first dimension."""
    kind, dims = kind_of(cell), state_dims(cell)
    variables: Variables = {
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
    return variables


def _describe_cell(
    layer: keras.layers.RNN, cell: keras.Layer, error: float, own_rows: bool
) -> dict[str, Any]:
    """Return what a node says of its cell."""
    kind = kind_of(cell)
    attrs = {
        "cell": kind.name,
        "units": units_of(cell),
        "go_backwards": int(layer.go_backwards),
        "layer_output_error": error,
    }
    if own_rows:
        attrs["rows"] = "rows that the layer receives; they are not the model's samples"
    return attrs | {name: _name(getattr(cell, name)) for name in kind.activations}


def _name(activation: Any) -> str:
    """The name by which Keras knows an activation, or one in brackets that it doesn't know."""
    name = str(getattr(activation, "__name__", type(activation).__name__))
    try:
        known = keras.activations.get(name) is activation
    except (ValueError, TypeError):
        known = False
    return name if known else f"<{name}>"
