"""Rows of a batch as slots: which goes on from which, and what a batch of another size does."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from experiments.carrying_state.live import (
    apart,
    carrying,
    current,
    ends,
    halves,
    opened,
    zeros_like_output,
)
from experiments.shared.evidence import for_each_model, refused
from experiments.shared.stack import distance, largest
from lstm_states.stateful import make_stateful_batches, reset_states
from lstm_states.twins import stateful_twin, stateless_twin

ROWS = 7
"""Input rows of a model with 2 slots: the last batch has one row."""

REFUSALS = (ValueError, tf.errors.InvalidArgumentError)
"""What Keras and TensorFlow raise for a batch of the wrong size."""


@for_each_model(
    continued_minus_whole=(
        "Second halves run after first halves, slot by slot, against the whole",
        "1",
    ),
    other_slots_minus_whole=(
        "Second halves run after first halves one slot further, against the whole",
        "1",
    ),
    in_order_minus_whole=(
        "fit with shuffle=False on make_stateful_batches against the whole",
        "1",
    ),
    shuffled_minus_whole=("fit with its default shuffle=True against the whole", "1"),
    leftover_moves=("Move of a sequence's states by an unrelated one before it", "1"),
    reset_minus_stateless=("A stateful stack reset before each batch against a stateless one", "1"),
)
def measure_slots(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Run halves of sequences in and out of order, and compare the last states with the whole's."""
    live = carrying(model, len(x))
    first, second = halves(x)
    whole = ends(model, np.concatenate([first, second], axis=1))
    series = np.concatenate([first, second], axis=1).reshape(-1, x.shape[-1])
    rows = make_stateful_batches(series, slots=len(x), steps=first.shape[1])
    y = np.concatenate([zeros_like_output(model, first)] * 2)

    def after(*batches: np.ndarray) -> list[np.ndarray]:
        reset_states(live)
        for batch in batches:
            live(batch)
        return current(live)

    def after_fit(shuffle: bool) -> list[np.ndarray]:
        reset_states(live)
        keras.utils.set_random_seed(0)
        live.fit(rows, y, batch_size=len(x), shuffle=shuffle, verbose=0)
        return current(live)

    further = [np.roll(state, 1, axis=0) for state in whole]
    return {
        "continued_minus_whole": apart(after(first, second), whole),
        "other_slots_minus_whole": apart(after(first, np.roll(second, 1, axis=0)), further),
        "in_order_minus_whole": apart(after_fit(shuffle=False), whole),
        "shuffled_minus_whole": apart(after_fit(shuffle=True), whole),
        "leftover_moves": apart(after(np.roll(first, 1, axis=0), second), after(second)),
        "reset_minus_stateless": apart(after(second), ends(model, second)),
    }


@for_each_model(
    rows_in=("Input rows of a model with 2 slots", "1"),
    rows_out=("Output rows", "1"),
    left_minus_both=("Final states against those after the last row ran in both slots", "1"),
    three_of_four_refused=("A last batch of 3 rows for 4 slots is refused", "1"),
    one_batch_refused=("A single batch of 1 row for 2 slots is refused", "1"),
    uneven_refused=("make_stateful_batches refuses a series that leaves a short batch", "1"),
)
def measure_short_batch(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Predict more rows than fill whole batches."""
    rows = x[np.arange(ROWS) % len(x)]
    two, four = carrying(model, 2), carrying(model, 4)
    output = two.predict(rows, batch_size=2, verbose=0)
    left = current(two)
    reset_states(two)
    for batch in (*np.split(rows[:-1], ROWS // 2), rows[[-1, -1]]):
        two(batch)
    return {
        "rows_in": ROWS,
        "rows_out": len(output),
        "left_minus_both": apart(left, current(two)),
        "three_of_four_refused": refused(
            lambda: four.predict(rows, batch_size=4, verbose=0), *REFUSALS
        ),
        "one_batch_refused": refused(lambda: two(rows[:1]), *REFUSALS),
        "uneven_refused": refused(
            lambda: make_stateful_batches(np.zeros(7), slots=2, steps=1), *REFUSALS
        ),
    }


@for_each_model(
    other_size_refused=("A stateful model refuses one row more than it has slots", "1"),
    twin_minus_model=("stateless_twin on all rows and on one against the model", "1"),
    single_slot_minus_model=("stateful_twin of one slot, in two pieces, against the model", "1"),
)
def measure_other_size(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Predict with other batch sizes than the one a stateful model was made for."""
    live = carrying(model, len(x))
    free, single = stateless_twin(live), stateful_twin(live, batch_size=1)
    first, second = halves(x)
    whole = np.concatenate([first, second], axis=1)
    expected = np.asarray(opened(model)(whole))
    single(first[:1])
    more = np.concatenate([x, x[:1]])
    pieces = single(second[:1])
    return {
        "other_size_refused": refused(lambda: live(more), *REFUSALS),
        "twin_minus_model": largest(
            [distance(free(whole), expected), distance(free(whole[:1]), expected[:1])]
        ),
        "single_slot_minus_model": distance(pieces, _last_steps(expected[:1], pieces)),
    }


def _last_steps(whole: np.ndarray, piece: tf.Tensor) -> np.ndarray:
    """Return the part of ``whole`` that ``piece`` covers, where the outputs have steps."""
    return whole if whole.ndim == 2 else whole[:, -piece.shape[1] :]
