"""The kinds of recurrent cells, one file each: their states, equations and names.

Each file defines its kind as ``KIND`` and is found automatically. Nothing here imports Keras or
TensorFlow before a step runs, because figures and summaries of stored traces need only the names.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import xarray as xr

from lstm_states.cells.custom import CUSTOM
from lstm_states.cells.gru import KIND as GRU
from lstm_states.cells.kind import INITIAL, INPUTS, CellKind, is_start
from lstm_states.cells.lstm import GATES, SIGMOID_GATES
from lstm_states.cells.lstm import KIND as LSTM

QUANTITIES = LSTM.quantities
"""What a trace holds of an LSTM layer for every sample, timestep and unit."""

_FILES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]

KINDS: dict[str, CellKind] = {
    kind.name: kind for kind in (*(file.KIND for file in _FILES if hasattr(file, "KIND")), *CUSTOM)
}
"""By the name that a trace has for it, every kind of cell that is known."""

__all__ = [
    "CUSTOM",
    "GATES",
    "GRU",
    "INITIAL",
    "INPUTS",
    "KINDS",
    "LSTM",
    "QUANTITIES",
    "SIGMOID_GATES",
    "CellKind",
    "is_start",
    "layers_of",
]


def layers_of(traces: xr.DataTree) -> dict[str, xr.Dataset]:
    """Return what a trace holds of each layer, by the layer's address, in the model's order."""
    # A tree goes down level by level: a nested layer would come after one above it.
    held = {node.path.strip("/"): node.to_dataset() for node in traces.leaves}
    order = [address for address in traces.attrs.get("layers", ()) if address in held]
    return {address: held[address] for address in dict.fromkeys([*order, *held])}
