"""The adding task by depth, at equal weights, and with the carry cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import keras
import numpy as np
import xarray as xr

from experiments.shared.evidence import as_evidence
from experiments.shared.learning import (
    Models,
    Tasks,
    error_of,
    named,
    predict_by_ridge,
    squared_error,
)
from experiments.shared.stack import recurrent, run_layers

STEPS = 30
"""Length of a sequence; one marked number lies in each half."""

SEQUENCES = {"shortest": STEPS, "longest": STEPS}
"""What ``make_adding`` is given."""

CUT = 10
"""Steps after which a cut carry starts over; in claims.yaml."""


def count_weights(units: Sequence[int], features: int) -> int:
    """Return how many weights LSTM layers of these widths and a head of one unit have.

    A layer has four gates, each with a kernel, a recurrent kernel and a bias.
    """
    below = [features, *units[:-1]]
    layers = sum(4 * n * (b + n + 1) for n, b in zip(units, below, strict=True))
    return layers + units[-1] + 1


def equal_widths(depth: int, weights: int, features: int) -> list[int]:
    """Return ``depth`` equal widths with which a stack comes nearest to ``weights`` weights."""

    def excess(width: int) -> int:
        return abs(count_weights([width] * depth, features) - weights)

    return [min(range(1, weights), key=excess)] * depth


def measure_depths(stacks: Mapping[int, Models], tasks: Tasks) -> xr.Dataset:
    """Compare stacks of one, two and three layers on the adding task, by claim 14.

    Args:
        stacks: By depth, 1 to 3, trained stacks by seed.
        tasks: The adding task by seed.

    Returns:
        Mean squared errors on the test part, of ridge on the flattened sequence and of always
        answering 1 too, and the ratio of one layer to two.
    """
    rows, says = {}, _of_depths(stacks)
    for seed, task in tasks.items():
        errors = {depth: squared_error(models[seed], task) for depth, models in stacks.items()}
        rows[seed] = {f"adding_error_depth_{depth}": error for depth, error in errors.items()} | {
            "adding_error_ridge": error_of(predict_by_ridge(task), task),
            "adding_error_do_nothing": error_of(1.0, task),
            "error_flat_over_deep": np.divide(errors[1], errors[2]),
        }
    return as_evidence(named(rows), says)


def _of_depths(stacks: Mapping[int, Models]) -> dict[str, tuple[str, str]]:
    """Say how wide and how large the stacks are."""
    says = {}
    for depth, models in stacks.items():
        model = next(iter(models.values()))
        width, layers = recurrent(model)[0].units, "layer" if depth == 1 else "layers"
        about = f"{depth} {layers} of {width} units, {model.count_params():,} weights"
        says[f"adding_error_depth_{depth}"] = (f"Error of {about}", "squared sum")
    return says | {
        "adding_error_ridge": ("Error of ridge on the whole sequence", "squared sum"),
        "adding_error_do_nothing": ("Error of always answering 1", "squared sum"),
        "error_flat_over_deep": ("Error of one layer over that of two, equal weights", "1"),
    }


def measure_cut(models: Models, tasks: Tasks, *, every: int = CUT) -> xr.Dataset:
    """Have h and c of all layers start over every so many steps, by claim 14.

    Args:
        models: Trained stacks by seed, whose head reads the last h.
        tasks: The adding task by seed.
        every: Steps from one start to the next.

    Returns:
        Mean squared errors on the test part with the carry whole and cut, and their ratio.
    """
    rows = {}
    for seed, task in tasks.items():
        model = models[seed]
        whole = squared_error(model, task)
        cut = squared_error(partial(_run_cut, model, every=every), task)
        rows[seed] = {
            "adding_error_whole": whole,
            "adding_error_cut": cut,
            "error_cut_over_whole": np.divide(cut, whole),
        }
    return as_evidence(
        named(rows),
        {
            "adding_error_whole": ("Error with the carry as it is", "squared sum"),
            "adding_error_cut": (f"Error with the carry cut every {every} steps", "squared sum"),
            "error_cut_over_whole": (
                f"Error with the carry cut every {every} steps over that without",
                "1",
            ),
        },
    )


def _run_cut(model: keras.Model, x: np.ndarray, *, every: int) -> np.ndarray:
    """Return the output with states set back: the head sees what the last piece left alone."""
    last = (x.shape[1] - 1) // every * every
    hidden = run_layers(model, x[:, last:])[recurrent(model)[-1].name].states[0]
    return model.layers[-1](hidden)
