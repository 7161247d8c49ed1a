"""The article's second example on labels that lie behind and on labels that lie ahead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import xarray as xr
from sklearn.linear_model import LogisticRegression

from experiments.shared.evidence import as_evidence
from experiments.shared.learning import Models, Tasks, named, part_of, predict
from experiments.shared.scores import measure_accuracy

STEPS = 20
"""Length of a sequence of bits."""

BEHIND = {"steps": STEPS, "lag": 1}
"""What ``make_neighbours`` is given for labels that are the previous input."""

AHEAD = {"steps": STEPS, "lag": -1}
"""The same for the next input."""

INSIDE = slice(1, -1)
"""Steps with a neighbour on either side."""


def build_bidirectional(
    timesteps: int, features: int, *, units: int, learning_rate: float
) -> keras.Model:
    """Build a stack of two layers that read the sequence from both ends, with a head at each step.

    Returns:
        A compiled model from ``(batch, timesteps, features)`` to ``(batch, timesteps, 1)``.
    """
    layers = [
        keras.layers.Bidirectional(keras.layers.LSTM(units, return_sequences=True))
        for _ in range(2)
    ]
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((timesteps, features)), *layers, head])
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="binary_crossentropy")
    return model


def measure_labels(
    previous: Models, following: Models, both_ends: Models, behind: Tasks, ahead: Tasks
) -> xr.Dataset:
    """Score stacks that label each step with the input before and with the input after it.

    By claim 22. The first and the last step are left out: a neighbour of theirs is not in the data.

    Args:
        previous: Trained on ``behind``, by seed.
        following: Trained on ``ahead``.
        both_ends: Trained on ``ahead``; bidirectional.
        behind: What ``make_neighbours`` returned for lag 1, by seed.
        ahead: The same for lag -1.

    Returns:
        Accuracies on the test part, also of logistic regression on the inputs at the step and
        before it.
    """
    rows = {
        seed: {
            "accuracy_previous": _accuracy(previous[seed], behind[seed]),
            "accuracy_next": _accuracy(following[seed], ahead[seed]),
            "accuracy_next_bidirectional": _accuracy(both_ends[seed], ahead[seed]),
            "accuracy_previous_linear": _linear_accuracy(behind[seed]),
            "accuracy_next_linear": _linear_accuracy(ahead[seed]),
        }
        for seed in behind
    }
    return as_evidence(
        named(rows),
        {
            "accuracy_previous": ("Accuracy, label = previous input", "1"),
            "accuracy_next": ("Accuracy, label = next input", "1"),
            "accuracy_next_bidirectional": (
                "Accuracy, label = next input, bidirectional stack",
                "1",
            ),
            "accuracy_previous_linear": (
                "Accuracy, label = previous input, logistic regression on two inputs",
                "1",
            ),
            "accuracy_next_linear": (
                "Accuracy, label = next input, logistic regression on two inputs",
                "1",
            ),
        },
    )


def _accuracy(model: Callable[[np.ndarray], Any], task: xr.Dataset) -> float:
    y = part_of(task, "test")["y"].values
    return measure_accuracy(y[:, INSIDE].ravel(), predict(model, task)[:, INSIDE].ravel() > 0.5)


def _linear_accuracy(task: xr.Dataset) -> float:
    train, test = (part_of(task, part) for part in ("train", "test"))
    inputs = [
        np.stack([part["x"].values[:, :-2, 0], part["x"].values[:, INSIDE, 0]], axis=-1)
        for part in (train, test)
    ]
    labels = [part["y"].values[:, INSIDE].ravel() for part in (train, test)]
    fitted = LogisticRegression().fit(inputs[0].reshape(-1, 2), labels[0])
    return measure_accuracy(labels[1], fitted.predict(inputs[1].reshape(-1, 2)))
