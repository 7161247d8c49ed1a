"""The article's first example where the signal is near and where it is far back."""

from __future__ import annotations

import keras
import xarray as xr

from experiments.shared.evidence import as_evidence
from experiments.shared.learning import Models, Tasks, named, part_of, predict, predict_by_ridge
from experiments.shared.scores import measure_r2

STEPS = 100
"""Length of a sequence."""

NEAR = {"steps": STEPS, "first": 90, "width": 10}
"""What ``make_means`` is given for a signal that fills the last 10 steps."""

FAR = {"steps": STEPS, "first": 0, "width": 10}
"""The same for one that lies 90 steps back."""


def build_pooled(timesteps: int, features: int, *, learning_rate: float) -> keras.Model:
    """Build the first example with a head that reads the mean of all h in place of the last one.

    Returns:
        A compiled model from ``(batch, timesteps, features)`` to ``(batch, 1)``.
    """
    layers = [keras.layers.LSTM(units, return_sequences=True) for units in (64, 32)]
    head = [keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((timesteps, features)), *layers, *head])
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss="mse")
    return model


def measure_signals(
    near: Models, far: Models, pooled: Models, near_tasks: Tasks, far_tasks: Tasks
) -> xr.Dataset:
    """Score stacks on a signal in the last steps and on one far back, by claim 19.

    Args:
        near: Trained on ``near_tasks``, by seed; the head reads the last h.
        far: Trained on ``far_tasks``; the head reads the last h.
        pooled: Trained on ``far_tasks``; the head reads the mean of all h.
        near_tasks: What ``make_means`` returned, by seed.
        far_tasks: The same with the signal far back.

    Returns:
        R² on the test part of the stacks, and of ridge on the flattened sequence.
    """
    rows = {}
    for seed in near_tasks:
        near_y, far_y = (part_of(t[seed], "test")["y"].values for t in (near_tasks, far_tasks))
        rows[seed] = {
            "r2_signal_near": measure_r2(near_y, predict(near[seed], near_tasks[seed])),
            "r2_signal_far": measure_r2(far_y, predict(far[seed], far_tasks[seed])),
            "r2_far_pooled": measure_r2(far_y, predict(pooled[seed], far_tasks[seed])),
            "r2_near_ridge": measure_r2(near_y, predict_by_ridge(near_tasks[seed])),
            "r2_far_ridge": measure_r2(far_y, predict_by_ridge(far_tasks[seed])),
        }
    return as_evidence(
        named(rows),
        {
            "r2_signal_near": ("R², signal in the last 10 steps, last h", "1"),
            "r2_signal_far": ("R², signal 90 steps back, last h", "1"),
            "r2_far_pooled": ("R², signal 90 steps back, mean of all h", "1"),
            "r2_near_ridge": ("R², signal in the last 10 steps, ridge on the sequence", "1"),
            "r2_far_ridge": ("R², signal 90 steps back, ridge on the sequence", "1"),
        },
    )
