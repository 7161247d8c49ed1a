"""What outlives a process, and what is needed to go on one step at a time."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np

from experiments.carrying_state.live import apart, carrying, current, ends, halves, opened
from experiments.shared.evidence import for_each_model
from experiments.shared.stack import States, distance, run_layers
from lstm_states.stateful import load_states, save_states
from lstm_states.streaming.session import StreamingSession


@for_each_model(
    weights_reloaded=("Weights in the .keras file against those of the model", "1"),
    state_reloaded=("Largest live state after the .keras file is loaded", "1"),
    going_on_moves=("Move of the next prediction by the states missing in the .keras file", "1"),
    restored_minus_live=("Live states after load_states against those that were saved", "1"),
    restored_going_on_moves=("Move of the next prediction after load_states", "1"),
)
def measure_saving(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Save a stateful stack in mid-sequence, load it, and go on."""
    live = carrying(model, len(x))
    first, second = halves(x)
    live(first)
    before = current(live)
    with TemporaryDirectory() as folder:
        live.save(Path(folder) / "model.keras")
        save_states(live, Path(folder) / "states.npz")
        again = keras.models.load_model(Path(folder) / "model.keras")
        reloaded = max(float(np.abs(state).max()) for state in current(again))
        expected, bare = live(second), again(second)
        load_states(again, Path(folder) / "states.npz")
        restored = current(again)
    return {
        "weights_reloaded": apart(live.get_weights(), again.get_weights()),
        "state_reloaded": reloaded,
        "going_on_moves": distance(bare, expected),
        "restored_minus_live": apart(restored, before),
        "restored_going_on_moves": distance(again(second), expected),
    }


@for_each_model(
    by_hand_minus_whole=("One step at a time, states passed by hand, against the whole", "1"),
    session_minus_whole=("One step at a time by StreamingSession against the whole", "1"),
    session_states_minus_whole=("States of the session against those after the whole", "1"),
)
def measure_streaming(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Take sequences one step at a time."""
    whole = opened(model)
    session = StreamingSession(whole, samples=len(x))
    states: States | None = None
    for step in range(x.shape[1]):
        runs = run_layers(model, x[:, step : step + 1], states)
        states = {name: run.states for name, run in runs.items()}
        output = session.step(x[:, step])
    expected, last = np.asarray(whole(x)), ends(model, x)
    by_hand = [state for run in runs.values() for state in run.states]
    by_session = [state for states in session.states.values() for state in states]
    return {
        "by_hand_minus_whole": apart(by_hand, last),
        "session_minus_whole": distance(
            output, expected if expected.ndim == 2 else expected[:, -1]
        ),
        "session_states_minus_whole": apart(by_session, last),
    }
