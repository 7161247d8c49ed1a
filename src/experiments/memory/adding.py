"""The adding task by length, for layers with shorter and longer memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr

from experiments.memory.variants import VARIANTS, build_variant
from experiments.shared.learning import (
    Models,
    Tasks,
    error_of,
    fit_models,
    predict_by_ridge,
    squared_error,
)

BASELINES = {
    "ridge": "ridge on the whole sequence",
    "do_nothing": "constant answer 1",
}
"""Predictors that are no recurrent layer, and what they are in words."""


def fit_variants(
    variants: Sequence[str], tasks: Tasks, *, units: int, learning_rate: float, batch_size: int
) -> dict[str, Models]:
    """Train each variant for each seed, in one pass over the training part of its task.

    Args:
        variants: Some of :data:`VARIANTS`.
        tasks: The adding task by seed, all of one length.
        units: Width of the layer.
        learning_rate: Adam's step size.
        batch_size: Samples per step.

    Returns:
        By variant, trained models by seed.
    """
    timesteps, features = next(iter(tasks.values()))["x"].shape[1:]
    return {
        variant: fit_models(
            partial(
                build_variant,
                variant,
                timesteps,
                features,
                units=units,
                learning_rate=learning_rate,
            ),
            tasks,
            batch_size=batch_size,
        )
        for variant in variants
    }


def measure_errors(
    fitted: Mapping[int, Mapping[str, Models]], tasks: Mapping[int, Tasks]
) -> xr.Dataset:
    """Score every variant that was trained, and the baselines, at each length.

    Args:
        fitted: By length, what :func:`fit_variants` returned.
        tasks: By length, the tasks they were trained on.

    Returns:
        ``error (predictor, length, model)``, mean squared errors on the test part, NaN where a
        variant was not trained; and ``whole (length)``, whether all of them were.
    """
    by_length = [_errors(models, tasks[length]) for length, models in fitted.items()]
    errors = xr.concat(by_length, xr.DataArray(list(fitted), dims="length", name="length"))
    whole = [set(VARIANTS) <= set(models) for models in fitted.values()]
    return errors.to_dataset(name="error").assign(whole=("length", whole))


def _errors(models: Mapping[str, Models], tasks: Tasks) -> xr.DataArray:
    rows = {
        variant: [squared_error(models[variant][seed], task) for seed, task in tasks.items()]
        if variant in models
        else [np.nan] * len(tasks)
        for variant in VARIANTS
    }
    rows["ridge"] = [error_of(predict_by_ridge(task), task) for task in tasks.values()]
    rows["do_nothing"] = [error_of(np.ones(1), task) for task in tasks.values()]
    return xr.DataArray(
        list(rows.values()),
        dims=("predictor", "model"),
        coords={"predictor": list(rows), "model": [f"seed {seed}" for seed in tasks]},
    )


def as_errors(errors: xr.Dataset) -> xr.Dataset:
    """Return the errors at the longest length that all variants were trained on, as evidence.

    Args:
        errors: What :func:`measure_errors` returned.

    Returns:
        ``adding_error_<variant>`` over ``model``, and the same of the baselines.
    """
    whole = errors["error"].sel(length=errors["whole"])
    longest = int(whole["length"].max())
    return xr.Dataset(
        {
            f"adding_error_{name}": whole.sel(
                length=longest, predictor=name, drop=True
            ).assign_attrs(long_name=f"Test error over {longest} steps, {words}", units="1")
            for name, words in (VARIANTS | BASELINES).items()
        }
    )
