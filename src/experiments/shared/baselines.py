"""Simple baselines on the same input as a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr
from sklearn.linear_model import LogisticRegression, Ridge

from experiments.data.schema import PARTS

ALPHAS = (10.0, 100.0, 1000.0, 10000.0)
"""Strengths of ridge's penalty that the validation part chooses from."""

INVERSE_STRENGTHS = (0.003, 0.03, 0.3, 3.0)
"""Inverse strengths C of logistic regression's penalty that the validation part chooses from."""


def fit_baselines(task: str, samples: xr.Dataset) -> dict[str, np.ndarray]:
    """Fit the baselines of a task on the training part and predict the test part.

    Args:
        task: ``"regression"``, ``"binary"`` or ``"classes"``.
        samples: ``x (sample, time, feature)``, ``y`` and ``part``; of ``y (sample, time)``, the
            last step counts. If it contains ``persistence``, shaped like ``y``, this is a baseline.
            If it contains ``window_means (sample, feature)``, these are added to ``x`` again.

    Returns:
        Predictions of the test part by name: numbers, probabilities of 1, or classes. The linear
        model sees the whole (padded) sequence at once, uncentered; with ``level (sample)``, a
        second one sees it centered and learns ``y - level``, like the LSTM.
    """
    last = {name: _last(samples[name].values) for name in ("y", "persistence") if name in samples}
    train, _, test = (samples["part"].values == index for index in range(len(PARTS)))
    window = (samples["x"] + samples.get("window_means", 0.0)).transpose(*samples["x"].dims)
    x = window.values.reshape(len(window), -1)
    y = last["y"]
    predictions = {}
    if task == "regression":
        predictions["mean"] = np.full(test.sum(), y[train].mean())
    elif task == "binary":
        predictions["base rate"] = np.full(test.sum(), y[train].mean())
    else:
        values, counts = np.unique(y[train], return_counts=True)
        predictions["most frequent"] = np.full(test.sum(), values[counts.argmax()])
    if "persistence" in last:
        predictions["persistence"] = last["persistence"][test]
    name = "ridge" if task == "regression" else "logistic regression"
    predictions[name] = _best_linear(task, x, y, samples["part"].values)
    if "level" in samples:
        centered, level = samples["x"].values.reshape(len(x), -1), samples["level"].values
        change = _best_linear(task, centered, y - level, samples["part"].values)
        predictions[f"centered {name}"] = change + level[test]
    return predictions


def _last(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 1 else values[:, -1]


def _best_linear(task: str, x: np.ndarray, y: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Fit linear models of several strengths and predict the test part with the best of them."""
    train, validation, test = (part == index for index in range(len(PARTS)))
    candidates = _linear_models(task, x[train], y[train])
    best = max(candidates, key=lambda model: model.score(x[validation], y[validation]))
    return best.predict_proba(x[test])[:, 1] if task == "binary" else best.predict(x[test])


def _linear_models(task: str, x: np.ndarray, y: np.ndarray) -> Iterator[Any]:
    if task == "regression":
        for alpha in ALPHAS:
            yield Ridge(alpha=alpha).fit(x, y)
    else:
        for strength in INVERSE_STRENGTHS:
            yield LogisticRegression(C=strength, max_iter=1000).fit(x, y)
