"""Lay out what was gathered as a labelled tree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from lstm_states.kernels.cells import cell_kind, state_names
from lstm_states.schema import CELL_QUANTITIES
from lstm_states.traces.gather import Array, Gathered
from lstm_states.traces.layers import Cells

_LONG_NAMES = {
    "hidden": "hidden state h, the layer's output",
    "cell": "cell state c, which never leaves the layer",
    "input_gate": "input gate i, the share of the candidate written",
    "forget_gate": "forget gate f, the share of the cell state kept",
    "candidate": "candidate g, what could be written",
    "output_gate": "output gate o, the share of the cell state shown",
    "update_gate": "update gate z, the share of the hidden state kept",
    "reset_gate": "reset gate r, the share of the hidden state the candidate sees",
}


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
        masks = [node["mask"] for node in gathered.nodes.values()]
        one_time = len({mask.shape for mask in masks}) == 1
        root = xr.Dataset(attrs={**self.attrs, "layers": list(gathered.nodes)})
        for name, values in gathered.outputs.items():
            per_step = (
                one_time
                and "time" not in self.kept
                and values.ndim > 2
                and values.shape[1] == masks[0].shape[1]
            )
            inner = ("time",) if per_step else ()
            rest = tuple(f"{name}_axis_{axis}" for axis in range(values.ndim - 1 - len(inner)))
            root[name] = ("sample", *inner, *rest), values
        if one_time and gathered.one_mask:
            real = {"long_name": "true where the step is real"}
            root["mask"] = ("sample", "time"), masks[0], real
        nodes = {"/": self._labelled(root, next(iter(gathered.indices.values())), first)}
        for address, arrays in gathered.nodes.items():
            node = _node(*self.cell(address), arrays, gathered.errors[address])
            nodes[f"/{address}"] = self._labelled(node, gathered.indices[address], first)
        return nodes

    def _labelled(self, node: xr.Dataset, indices: Mapping[str, Array], first: int) -> xr.Dataset:
        """Label the dimensions of which only a part is kept."""
        labels, samples = dict(indices), self.kept.get("sample")
        if samples is not None:
            labels["sample"] = samples[first : first + node.sizes["sample"]]
        return node.assign_coords({dim: labels[dim] for dim in self.kept if dim in node.dims})


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
    layer: keras.layers.RNN, cell: keras.Layer, arrays: Mapping[str, Array], error: float
) -> xr.Dataset:
    kind = str(cell_kind(cell))
    variables: dict[str, tuple] = {
        name: (("sample", "time", "unit"), arrays[name], {"long_name": _LONG_NAMES[name]})
        for name in CELL_QUANTITIES[kind]
        if name in arrays
    }
    for name in state_names(cell):
        for end in (f"initial_{name}", f"final_{name}"):
            if end in arrays:
                variables[end] = ("sample", "unit"), arrays[end]
    variables["mask"] = ("sample", "time"), arrays["mask"]
    attrs = {
        "cell": kind,
        "units": cell.units,
        "activation": _name(cell.activation),
        "go_backwards": int(layer.go_backwards),
        "layer_output_error": error,
    }
    if kind != "SimpleRNN":
        attrs["recurrent_activation"] = _name(cell.recurrent_activation)
    return xr.Dataset(variables, attrs=attrs)


def _name(activation: Any) -> str:
    """The name by which Keras knows an activation, or one in brackets that it doesn't know."""
    name = str(getattr(activation, "__name__", type(activation).__name__))
    try:
        known = keras.activations.get(name) is activation
    except (ValueError, TypeError):
        known = False
    return name if known else f"<{name}>"
