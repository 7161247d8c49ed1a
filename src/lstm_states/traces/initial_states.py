"""Initial and final states by the address of their cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import xarray as xr

from lstm_states.cells import KINDS, layers_of
from lstm_states.kernels.cells import kind_of, state_shape
from lstm_states.traces.traced_layers import TracedLayer

States = dict[str, tuple[np.ndarray, ...]]


def final_states(traces: xr.DataTree) -> States:
    """Return the states after the last step of each layer, in the form of ``initial_state``.

    A backward layer ends at the first step of the input: its final state belongs there and cannot
    continue with later steps. Under a mask, a layer returns zeros before the first real step. If
    the later steps begin with masked ones and a layer above ignores the mask, use a
    :class:`lstm_states.StreamingSession`, which continues seamlessly.

    Raises:
        ValueError: if ``traces`` holds derivatives.

    Example:
        >>> first = record_traces(model, x[:, :50])
        >>> record_traces(model, x[:, 50:], initial_state=final_states(first))
    """
    if "derivatives" in traces.attrs:
        raise ValueError("traces holds derivatives, not states to start from")
    return {
        address: tuple(node[f"final_{name}"].values for name in KINDS[node.attrs["cell"]].states)
        for address, node in layers_of(traces).items()
    }


def check_states(states: Mapping[str, Any], layers: Mapping[str, TracedLayer], size: int) -> States:
    """Return ``states`` by the address of each cell.

    Args:
        states: States by the address of a layer or of a container of layers, in any nesting, in the
            order of the cells: ``(h, c)`` of an LSTM, ``[[h, c], [h, c]]`` of
            ``RNN([LSTMCell...])``, ``[h, c, h, c]`` of a ``Bidirectional``; each
            ``(sample, unit)``.
        layers: The recorded layers.
        size: Number of samples.

    Raises:
        ValueError: naming the address, the given shapes and the correct ones.
    """
    cells = {address: cell for layer in layers.values() for address, cell in layer.cells.items()}
    if not isinstance(states, Mapping):
        raise ValueError(
            f"initial_state is a {type(states).__name__}; it must be a dict of states by the "
            f"address of their layer: {list(cells)}"
        )
    checked: States = {}
    for key, nested in states.items():
        inside = {a: c for a, c in cells.items() if a == key or a.startswith(f"{key}/")}
        if not inside:
            raise ValueError(f"initial_state names {key!r}; recorded are {list(cells)}")
        arrays = [np.asarray(state) for state in keras.tree.flatten(nested)]
        if any(array.dtype.kind in "OSUMmc" for array in arrays):
            raise ValueError(
                f"initial_state[{key!r}] holds {[str(array.dtype) for array in arrays]}; states "
                "are real numbers"
            )
        expected = [(size, *state_shape(c)) for c in inside.values() for _ in kind_of(c).states]
        if [array.shape for array in arrays] != expected:
            names = [
                f"{name} of {a!r}" for a, cell in inside.items() for name in kind_of(cell).states
            ]
            raise ValueError(
                f"initial_state[{key!r}] has shapes {[array.shape for array in arrays]}; "
                f"{', '.join(names)} must have {expected}"
            )
        flat = iter(arrays)
        for address, cell in inside.items():
            checked[address] = tuple(next(flat) for _ in kind_of(cell).states)
    return checked
