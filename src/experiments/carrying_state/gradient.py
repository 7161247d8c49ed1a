"""How far back a gradient reaches when a sequence is cut into batches."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from experiments.carrying_state.live import carrying, halves
from experiments.shared.stack import recurrent, run_layers, states_after

CARRIES = ("whole", "handed over", "stateful")
"""In one piece; as ``initial_state`` in one graph; by stateful layers."""


def measure_gradients(models: Mapping[str, keras.Model], x: np.ndarray) -> xr.Dataset:
    """Differentiate the top layer's last ``h`` by each step of the input, cut in two or not.

    Args:
        models: By name.
        x: ``(sample, time, feature)``, cut in the middle.

    Returns:
        ``gradient (model, carry, step)``: its L2 norm over samples and features; ``step`` counts
        from the border, below 0 before it.
    """
    first, second = halves(x)
    norms = [
        [_norms(model, first, second, carry) for carry in CARRIES] for model in models.values()
    ]
    steps = np.arange(-first.shape[1], second.shape[1])
    about = {"long_name": "Norm of the gradient of the last h by the input of a step", "units": "1"}
    return xr.Dataset(
        {"gradient": (("model", "carry", "step"), np.array(norms), about)},
        coords={"model": list(models), "carry": list(CARRIES), "step": steps},
    )


def _norms(model: keras.Model, first: np.ndarray, second: np.ndarray, carry: str) -> np.ndarray:
    """Return the norm of the gradient by each step, ``(step,)``."""
    stack = carrying(model, len(first)) if carry == "stateful" else model
    top = recurrent(stack)[-1].name
    x = tf.convert_to_tensor(np.concatenate([first, second], axis=1))
    border = first.shape[1]
    with tf.GradientTape() as tape:
        tape.watch(x)
        if carry == "whole":
            runs = run_layers(stack, x)
        else:
            start = states_after(stack, x[:, :border])
            runs = run_layers(stack, x[:, border:], start if carry == "handed over" else None)
        target = tf.reduce_sum(runs[top].states[0])
    return np.sqrt((np.asarray(tape.gradient(target, x)) ** 2).sum(axis=(0, 2)))


def measure_truncation(gradients: xr.Dataset) -> xr.Dataset:
    """Say what is left of the gradient before the border, given what ``measure_gradients`` found.

    Returns:
        Variables over ``model``.
    """
    whole, handed, stateful = (gradients["gradient"].sel(carry=c, drop=True) for c in CARRIES)
    before = gradients["step"] < 0
    found = {
        "gradient_before_stateful": (
            "Gradient by the steps before the border, over that after it, stateful layers",
            stateful.sel(step=before).max("step") / stateful.sel(step=~before).max("step"),
        ),
        "gradient_before_handed": (
            "Gradient by the steps before the border, over that after it, states handed over",
            handed.sel(step=before).max("step") / handed.sel(step=~before).max("step"),
        ),
        "handed_minus_whole": (
            "Gradients with the states handed over against those of the whole, relative",
            abs(handed - whole).max("step") / whole.max("step"),
        ),
    }
    return xr.Dataset(
        {name: v.assign_attrs(long_name=says, units="1") for name, (says, v) in found.items()}
    )
