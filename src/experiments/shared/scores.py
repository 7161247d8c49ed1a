"""Scores of predictions, and the score of each task."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

TASKS = {
    "mse": "regression",
    "huber": "regression",
    "binary_crossentropy": "binary",
    "sparse_categorical_crossentropy": "classes",
}
"""The kind of task that a loss stands for."""


METRICS = {"r2": "R²", "auc": "AUC", "accuracy": "accuracy"}
"""Metrics by the name they have in files, with the name they have in text."""


def measure_r2(y: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of the variance of ``y (sample,)`` that ``predicted`` explains."""
    return float(1 - np.mean((y - predicted) ** 2) / np.var(y))


def measure_auc(y: np.ndarray, predicted: np.ndarray) -> float:
    """Return the area under the ROC curve: how often a 1 is ranked above a 0, ties counting half.

    The rank-sum form of Mann and Whitney (1947); both arrays are ``(sample,)``, ``y`` of 0 and 1.
    NaN if ``y`` holds one value only.
    """
    positive = y > 0.5
    ones = int(positive.sum())
    pairs = ones * (len(y) - ones)
    if pairs == 0:
        return float("nan")
    return float((rankdata(predicted)[positive].sum() - ones * (ones + 1) / 2) / pairs)


def measure_accuracy(y: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of samples whose class in ``predicted (sample,)`` is that in ``y``."""
    return float(np.mean(y == predicted))


SCORES: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], float]]] = {
    "regression": ("r2", measure_r2),
    "binary": ("auc", measure_auc),
    "classes": ("accuracy", measure_accuracy),
}
"""For each task the name of its metric and the function; higher is better in all of them."""
