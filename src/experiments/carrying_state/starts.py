"""Where layers start from: initial states, stacked cells, both directions, a decoder."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from experiments.carrying_state.live import apart, carrying, halves
from experiments.shared.evidence import for_each_model, refused
from experiments.shared.models import build_encoder_decoder
from experiments.shared.stack import distance, double_precision, recurrent, run_layers, states_after


@for_each_model(
    nested_minus_layers=("RNN([LSTMCell, ...]) from [[h, c], [h, c]] against single layers", "1"),
    flat_refused=("RNN([LSTMCell, ...]) refuses a flat [h, c, h, c]", "1"),
    argument_minus_stateless=("A stateful layer with initial_state against a stateless one", "1"),
    stored_moves=(
        "Move of a stateful layer's output by its stored state, with initial_state",
        "1",
    ),
    stored_minus_end=("Its stored state then against the end of that call", "1"),
)
def measure_starts(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Start stacked cells and a stateful layer from given states."""
    first, second = halves(x)
    start = states_after(model, first)
    cells = _stacked_cells(model, second)
    expected = run_layers(model, second, start)
    nested = cells(second, initial_state=[list(states) for states in start.values()])
    live = carrying(model, len(x))
    name = recurrent(live)[0].name
    outputs = []
    for stored in (first, first + 1):
        live.predict(stored, batch_size=len(x), verbose=0)
        outputs.append(run_layers(live, second, start)[name])
    flat = [state for states in start.values() for state in states]
    stored_now = [s.value.numpy() for s in recurrent(live)[0].states]
    return {
        "nested_minus_layers": apart(nested, [s for r in expected.values() for s in r.states]),
        "flat_refused": refused(
            lambda: cells(second, initial_state=flat), IndexError, ValueError, TypeError
        ),
        "argument_minus_stateless": distance(outputs[0].sequence, expected[name].sequence),
        "stored_moves": distance(outputs[0].sequence, outputs[1].sequence),
        "stored_minus_end": apart(stored_now, expected[name].states),
    }


def _stacked_cells(model: keras.Model, x: np.ndarray) -> Any:
    """Return a function that gives the final states of one layer of stacked cells, flat."""
    layers = recurrent(model)
    with double_precision():
        cells = [keras.layers.LSTMCell(layer.units) for layer in layers]
        rnn = keras.layers.RNN(cells, return_state=True)
        rnn(x)
    rnn.set_weights([w for layer in layers for w in layer.get_weights()])
    return lambda given, initial_state: keras.tree.flatten(
        rnn(given, initial_state=initial_state)[1:]
    )


@for_each_model(
    given_in_both=("Tensors that a bidirectional LSTM with return_state returns", "1"),
    forward_minus_last=("Forward h against the forward half of the output at the last step", "1"),
    backward_minus_first=(
        "Backward h against the backward half of the output at the first step",
        "1",
    ),
    backward_minus_last=(
        "Backward h against the backward half of the output at the last step",
        "1",
    ),
    forward_carried_minus_whole=(
        "Forward half in two pieces with carried states against whole",
        "1",
    ),
    backward_carried_minus_whole=(
        "Backward half in two pieces with carried states against whole",
        "1",
    ),
)
def measure_both_directions(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Put the lowest layer's weights into both directions, and cut sequences in two."""
    layer = recurrent(model)[0]
    with double_precision():
        directed = type(layer)(layer.units, return_sequences=True, return_state=True)
        both = keras.layers.Bidirectional(directed)
        both(x)
    both.set_weights([*layer.get_weights()] * 2)
    first, second = halves(x)
    output, *states = both(np.concatenate([first, second], axis=1))
    forward, backward = np.split(np.asarray(output), 2, axis=-1)
    carried = both(second, initial_state=both(first)[1:])[0]
    forward_again, backward_again = np.split(np.asarray(carried), 2, axis=-1)
    border = first.shape[1]
    return {
        "given_in_both": 1 + len(states),
        "forward_minus_last": distance(states[0], forward[:, -1]),
        "backward_minus_first": distance(states[2], backward[:, 0]),
        "backward_minus_last": distance(states[2], backward[:, -1]),
        "forward_carried_minus_whole": distance(forward_again, forward[:, border:]),
        "backward_carried_minus_whole": distance(backward_again, backward[:, border:]),
    }


@for_each_model(
    handed_minus_whole_stack=(
        "Encoder and decoder, layer n to layer n, against one stack over the whole",
        "1",
    ),
    top_alone_minus_whole=("Only the states of the top layer passed on, against the whole", "1"),
    swapped_minus_whole=("States passed on with h and c swapped, against the whole", "1"),
)
def measure_handover(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Give encoder and decoder the weights of one stack: handed over right, they are that stack."""
    layers = recurrent(model)
    with double_precision():
        features = x.shape[-1]
        both = build_encoder_decoder(features, features, units=[la.units for la in layers])
    for place, layer in enumerate(layers):
        for name in ("encoder", "decoder"):
            both.get_layer(f"{name}_{place}" if place else name).set_weights(layer.get_weights())
    first, second = halves(x)
    top = layers[-1].name
    whole = run_layers(model, np.concatenate([first, second], axis=1))[top].sequence
    expected = whole[:, first.shape[1] :]
    decoded = keras.Model(both.inputs, both.layers[-2].output)([first, second])
    start = states_after(model, first)
    swapped = {name: [cell, hidden] for name, (hidden, cell) in start.items()}
    return {
        "handed_minus_whole_stack": distance(decoded, expected),
        "top_alone_minus_whole": distance(
            run_layers(model, second, {top: start[top]})[top].sequence, expected
        ),
        "swapped_minus_whole": distance(run_layers(model, second, swapped)[top].sequence, expected),
    }
