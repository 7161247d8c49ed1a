"""What a layer gives, what the tracer adds, and what a stateless layer keeps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import keras
import numpy as np
import xarray as xr

from experiments.carrying_state.live import apart, ends, opened
from experiments.shared.evidence import for_each_model, refused
from experiments.shared.stack import distance, largest, least, options, recurrent, run_layers
from lstm_states.cells import GATES
from lstm_states.traces.record import record_traces


@for_each_model(
    rises_per_unit=("Numbers that a layer passes up per step, for each of its units", "1"),
    width_of_c=("Numbers in its c, for each of its units", "1"),
    columns_per_unit=("Columns of its kernel, for each of its units", "1"),
    sequence_minus_h=("Each step of return_sequences against h of the steps up to it", "1"),
    output_minus_h=("First tensor that return_state returns against the second, h", "1"),
    output_minus_c=("First tensor that return_state returns against the third, c", "1"),
    given_with_state=("Tensors that return_state returns", "1"),
    stacks_without_sequences=(
        "A second layer accepts the output of a layer without sequences",
        "1",
    ),
)
def measure_outputs(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Compare what the lowest layer gives with its states, option by option."""
    layer = recurrent(model)[0]
    run = run_layers(model, x)[layer.name]
    middle = x.shape[1] // 2
    with options(layer, return_sequences=False, return_state=True):
        given = layer(run.given)
        earlier = layer(run.given[:, :middle])[1]
    return {
        "rises_per_unit": run.sequence.shape[-1] / layer.cell.units,
        "width_of_c": run.states[1].shape[-1] / layer.cell.units,
        "columns_per_unit": layer.cell.kernel.shape[-1] / layer.cell.units,
        "sequence_minus_h": largest(
            [
                distance(run.sequence[:, middle - 1], earlier),
                distance(run.sequence[:, -1], given[1]),
            ]
        ),
        "output_minus_h": distance(given[0], given[1]),
        "output_minus_c": distance(given[0], given[2]),
        "given_with_state": len(given),
        "stacks_without_sequences": 1 - refused(lambda: keras.layers.LSTM(2)(given[0]), ValueError),
    }


@for_each_model(
    cell_minus_keras=(
        "c recorded at every step against Keras's c for the sequence up to there",
        "1",
    ),
    gates_minus_blocks=("Gates recorded against blocks of x W + h U + b in the order i f c o", "1"),
    gates_minus_other_order=(
        "Gates recorded against the blocks in the best of the other 23 orders",
        "1",
    ),
)
def measure_trace(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Compare the tracer's ``c`` with Keras's, and its gates with the equations in any order."""
    layer = recurrent(model)[0]
    node = record_traces(opened(model), x)[layer.name].to_dataset()
    steps = sorted({1, x.shape[1] // 3, x.shape[1]})
    cells = [run_layers(model, x[:, :step])[layer.name].states[1] for step in steps]
    by_order = {order: _apart_from_blocks(layer, x, node, order) for order in permutations(GATES)}
    return {
        "cell_minus_keras": largest(
            distance(node["cell"].isel(time=step - 1), cell)
            for step, cell in zip(steps, cells, strict=True)
        ),
        "gates_minus_blocks": by_order.pop(GATES),
        "gates_minus_other_order": least(by_order.values()),
    }


def _apart_from_blocks(
    layer: keras.layers.LSTM, x: np.ndarray, node: xr.Dataset, order: Sequence[str]
) -> float:
    """Return how far recorded gates are from the four blocks of columns, taken in ``order``."""
    kernel, recurrent_kernel, bias = layer.get_weights()
    hidden = node["hidden"].values
    before = np.concatenate([np.zeros_like(hidden[:, :1]), hidden[:, :-1]], axis=1)
    blocks = np.split(x @ kernel + before @ recurrent_kernel + bias, 4, axis=-1)
    squashed = {
        gate: np.tanh(block) if gate == "candidate" else 1 / (1 + np.exp(-block))
        for gate, block in zip(order, blocks, strict=True)
    }
    return largest(distance(values, node[gate]) for gate, values in squashed.items())


@for_each_model(
    second_call_moves=("Move of all states when the same call is made again", "1"),
    neighbours_move=("Move of a sample's states when the others in its batch change", "1"),
    previous_step_moves=(
        "Move of the last states when the first half of the sequence is removed",
        "1",
    ),
)
def measure_stateless(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Call a stateless stack again, and with other samples beside."""
    once = ends(model, x)
    again = ends(model, x)
    others = ends(model, np.concatenate([x[:1], x[1:] + 1]))
    second = ends(model, x[:, x.shape[1] // 2 :])
    return {
        "second_call_moves": apart(once, again),
        "neighbours_move": apart([s[:1] for s in once], [s[:1] for s in others]),
        "previous_step_moves": apart(once, second),
    }
