"""Results of the configurations and their baselines, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from experiments.data.schema import PARTS
from experiments.shared.scores import METRICS, SCORES

NEAR = 0.01
"""A score that is so near to another is as good."""


def measure_results(
    task: str,
    samples: xr.Dataset,
    model_predictions: np.ndarray,
    baselines: Mapping[str, np.ndarray],
    *,
    block: int,
    resamples: int,
) -> xr.Dataset:
    """Score the models of all seeds and the baselines on the test part, with intervals.

    The score of the model is the median over its seeds, in every draw of the bootstrap too.

    The intervals come from a bootstrap that keeps the dependence in the data: windows of a series
    overlap, so blocks of ``block`` neighbouring windows are drawn (moving blocks, Kuensch 1989);
    utterances are drawn within their class, since the classes are fixed.

    Args:
        task: A key of :data:`SCORES`.
        samples: Holds ``y`` and ``part``; with ``y (sample, time)`` the last step is scored.
        model_predictions: ``(seed, test sample)``.
        baselines: Predictions ``(test sample)`` by name.
        block: Windows in a block; 0 draws within classes.
        resamples: Draws of the bootstrap.

    Returns:
        ``score``, ``low`` and ``high`` (95 %) along ``predictor``, which is the model and then the
        baselines; ``gain``, ``gain_low`` and ``gain_high``, the model's lead on each baseline with
        the same draws for both; and ``seed_score (seed)``.
    """
    name, score = SCORES[task]
    y = samples["y"].values[samples["part"].values == PARTS.index("test")]
    y = y if y.ndim == 1 else y[:, -1]
    draws = _block_draws(len(y), block, resamples) if block else _class_draws(y, resamples)

    def scores(rows: np.ndarray | slice) -> list[float]:
        seeds = [score(y[rows], p[rows]) for p in model_predictions]
        return [np.median(seeds), *(score(y[rows], p[rows]) for p in baselines.values())]

    drawn = np.array([scores(rows) for rows in draws])
    point = np.array(scores(slice(None)))
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    gains = drawn[:, :1] - drawn
    gain_low, gain_high = np.nanquantile(gains, [0.025, 0.975], axis=0)
    return xr.Dataset(
        {
            "score": ("predictor", point),
            "low": ("predictor", low),
            "high": ("predictor", high),
            "gain": ("predictor", point[0] - point),
            "gain_low": ("predictor", gain_low),
            "gain_high": ("predictor", gain_high),
            "seed_score": ("seed", [score(y, p) for p in model_predictions]),
        },
        coords={"predictor": ["model", *baselines]},
        attrs={"metric": name},
    )


def measure_leads(results: xr.Dataset, seeds: Sequence[int]) -> xr.Dataset:
    """Return each seed's score and how far it is above that of each baseline.

    Args:
        results: What :func:`measure_results` returned.
        seeds: The seeds, in the order of the models.

    Returns:
        ``score`` and, one variable for each baseline, ``lead_on_persistence`` and so on, over
        ``model``.
    """
    metric = METRICS[results.attrs["metric"]]
    about = {"long_name": f"{metric} on the test part", "units": "1"}
    leads = {"score": ("model", results["seed_score"].values, about)}
    for name in results["predictor"].values[1:]:
        lead = results["seed_score"].values - float(results["score"].sel(predictor=name))
        about = {"long_name": f"Lead on {name}, {metric} on the test part", "units": "1"}
        leads[f"lead_on_{name.replace(' ', '_')}"] = ("model", lead, about)
    return xr.Dataset(leads, coords={"model": [f"seed {seed}" for seed in seeds]})


def _block_draws(size: int, block: int, resamples: int) -> np.ndarray:
    """Return row indices ``(resample, sample)`` made of whole blocks of neighbours."""
    rng = np.random.default_rng(0)
    block = min(block, size)
    starts = rng.integers(0, size - block + 1, (resamples, -(-size // block)))
    return (starts[..., np.newaxis] + np.arange(block)).reshape(resamples, -1)[:, :size]


def _class_draws(y: np.ndarray, resamples: int) -> np.ndarray:
    """Return row indices ``(resample, sample)`` with as many of each class as ``y`` has."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(y == value) for value in np.unique(y)]
    return np.concatenate([rng.choice(m, (resamples, len(m))) for m in members], axis=1)


def measure_by_step(task: str, samples: xr.Dataset, predictions: np.ndarray) -> xr.Dataset:
    """Score a model that predicts at every step by how many steps it has seen.

    Args:
        task: A key of :data:`SCORES`.
        samples: Holds ``y (sample, time)`` and ``part``.
        predictions: ``(seed, test sample, time)``.

    Returns:
        ``score (seed, steps_seen)``.
    """
    name, score = SCORES[task]
    y = samples["y"].values[samples["part"].values == PARTS.index("test")]
    steps = range(y.shape[1])
    scores = [[score(y[:, t], p[:, t]) for t in steps] for p in predictions]
    return xr.Dataset(
        {"score": (("seed", "steps_seen"), scores)},
        coords={"steps_seen": [t + 1 for t in steps]},
        attrs={"metric": name},
    )


def measure_warm_up(by_step: xr.Dataset, seeds: Sequence[int]) -> xr.Dataset:
    """Count the steps until each seed's score is as good as it gets.

    Args:
        by_step: What :func:`measure_by_step` returned.
        seeds: The seeds, in the order of the models.

    Returns:
        ``warm_up_steps`` over ``model``: the least number of steps seen from which on the score
        stays within :data:`NEAR` of the last; NaN where the last score is no number.
    """
    score = by_step["score"].values
    away = ~(np.abs(score - score[:, -1:]) <= NEAR)
    steps = np.array([np.flatnonzero(row).max(initial=-1) + 2 for row in away], float)
    steps[np.isnan(score[:, -1])] = np.nan
    words = f"Steps until {METRICS[by_step.attrs['metric']]} stays within {NEAR} of its last value"
    return xr.Dataset(
        {"warm_up_steps": ("model", steps, {"long_name": words, "units": "steps"})},
        coords={"model": [f"seed {seed}" for seed in seeds]},
    )


def result_record(results: xr.Dataset, *, kept_loss: float) -> dict[str, Any]:
    """Return the numbers for metrics.json: of the model, of each baseline, and of training.

    Args:
        results: What :func:`measure_results` returned.
        kept_loss: The typical model's loss on the validation part.
    """
    metric = results.attrs["metric"]
    seeds = results["seed_score"].values
    rows = {str(p): results.sel(predictor=p) for p in results["predictor"].values}
    model = rows.pop("model")
    return {
        "test": {
            metric: float(model["score"]),
            f"{metric}_lowest_seed": float(seeds.min()),
            f"{metric}_highest_seed": float(seeds.max()),
            f"{metric}_low": float(model["low"]),
            f"{metric}_high": float(model["high"]),
        },
        "baselines": {
            name.replace(" ", "_"): {
                metric: float(row["score"]),
                **{key: float(row[key]) for key in ("gain", "gain_low", "gain_high")},
            }
            for name, row in rows.items()
        },
        "validation": {"kept_loss": kept_loss},
    }
