"""What moves the live states of stateful layers, and what doesn't.

``fit`` and ``predict`` round what they are given to float32, whatever the layers' precision: the
numbers in ``x`` must be such that nothing is lost, as those of the data sets are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from experiments.shared.evidence import for_each_model
from experiments.shared.stack import distance, largest, recurrent, states_after
from lstm_states.callbacks import ResetStates
from lstm_states.stateful import kept_states, reset_states
from lstm_states.twins import stateful_twin


def opened(model: keras.Model) -> keras.Model:
    """Return the layers of a stack, the same ones, as a model that takes any number of steps."""
    given = model.inputs[0]
    return keras.Sequential(
        [keras.Input((None, given.shape[-1]), dtype=given.dtype), *model.layers]
    )


def carrying(model: keras.Model, slots: int) -> keras.Model:
    """Return a stateful copy of a stack whose ``fit`` changes no weight: it learns at rate 0."""
    live = stateful_twin(opened(model), batch_size=slots)
    live.compile(keras.optimizers.SGD(0.0), "mse")
    return live


def current(live: keras.Model) -> list[np.ndarray]:
    """Return copies of the live states, lowest layer first, each ``(slot, unit)``."""
    return [s.value.numpy() for la in recurrent(live) for s in keras.tree.flatten(la.states)]


def apart(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Return the largest difference of two lists of states."""
    return largest(distance(a, b) for a, b in zip(one, other, strict=True))


def ends(model: keras.Model, x: np.ndarray) -> list[Any]:
    """Return the states of all layers after ``x``, from zeros, without any stateful layer."""
    return keras.tree.flatten(list(states_after(model, x).values()))


def zeros_like_output(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return targets for ``x``; at rate 0 it doesn't matter which."""
    return np.zeros(opened(model)(x).shape)


def halves(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut ``x (sample, time, feature)`` into two equal parts, without its last step if it's odd."""
    half = x.shape[1] // 2
    return x[:, :half], x[:, half : 2 * half]


@for_each_model(
    epochs_minus_carried=("State after two epochs of fit against the data run twice in a row", "1"),
    epochs_minus_fresh=("State after two epochs of fit against the data run once from zeros", "1"),
    with_callback_minus_fresh=(
        "State after two epochs with ResetStates against the data run once from zeros",
        "1",
    ),
)
def measure_epochs(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Look at the live state after two epochs of ``fit`` on one batch."""
    live, y = carrying(model, len(x)), zeros_like_output(model, x)
    plain = _after_fit(live, x, y, epochs=2)
    reset = _after_fit(live, x, y, ResetStates(), epochs=2)
    once = ends(model, x)
    return {
        "epochs_minus_carried": apart(plain, ends(model, np.concatenate([x, x], axis=1))),
        "epochs_minus_fresh": apart(plain, once),
        "with_callback_minus_fresh": apart(reset, once),
    }


def _after_fit(
    live: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    *callbacks: keras.callbacks.Callback,
    **options: Any,
) -> list[np.ndarray]:
    """Return the live states that ``fit`` on one batch leaves, from zeros."""
    reset_states(live)
    options |= {"batch_size": len(x), "shuffle": False, "verbose": 0}
    live.fit(x, y, callbacks=list(callbacks), **options)
    return current(live)


@for_each_model(
    predict_moves=("Move of the live state by predict", "1"),
    evaluate_moves=("Move of the live state by evaluate", "1"),
    validation_moves=("Move of the state that fit leaves, by validation data", "1"),
    submodel_moves=("Move of the live state by a model that shares layer 1", "1"),
    kept_moves=("Move of the live state by evaluate inside kept_states", "1"),
    validation_with_callback_moves=(
        "Move of the state that fit leaves, by validation data, with ResetStates",
        "1",
    ),
)
def measure_moves(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Run the second half of sequences in every way there is; the live state is after the first."""
    live = carrying(model, len(x))
    first, second = halves(x)
    y = zeros_like_output(model, first)
    shared = keras.Model(live.inputs[0], recurrent(live)[0].output)
    options = {"batch_size": len(x), "verbose": 0}
    live.predict(first, **options)

    def moved(act: Callable[[], Any]) -> float:
        with kept_states(live):
            before = current(live)
            act()
            return apart(before, current(live))

    def moved_by_validation(*callbacks: keras.callbacks.Callback) -> float:
        both = (None, (second, y))
        return apart(*(_after_fit(live, first, y, *callbacks, validation_data=v) for v in both))

    def evaluate_and_put_back() -> None:
        with kept_states(live):
            live.evaluate(second, y, **options)

    return {
        "predict_moves": moved(lambda: live.predict(second, **options)),
        "evaluate_moves": moved(lambda: live.evaluate(second, y, **options)),
        "validation_moves": moved_by_validation(),
        "submodel_moves": moved(lambda: shared(second)),
        "kept_moves": moved(evaluate_and_put_back),
        "validation_with_callback_moves": moved_by_validation(ResetStates()),
    }
