"""Linear probes: what can be read from the states of a layer.

A probe is fitted on every other sample and scored on the ones between, at steps that have
:data:`~experiments.depth.settings.LAGS` steps before them. States are scaled to variance 1 first,
so that the probes' small penalty means the same for each layer.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from experiments.depth.settings import LAGS
from experiments.shared.evidence import for_each_model
from experiments.shared.stack import run_layers


def hidden_states(model: keras.Model, x: np.ndarray) -> list[np.ndarray]:
    """Return h of each layer at every step, ``(sample, time, unit)``, lowest layer first."""
    return [np.asarray(run.sequence) for run in run_layers(model, x).values()]


def probe_past(states: np.ndarray, x: np.ndarray) -> float:
    """Return how well the past inputs are read from the states by ridge regression.

    Args:
        states: ``(sample, time, unit)``.
        x: The inputs, ``(sample, time, feature)``.

    Returns:
        R² over all features and lags together, each scaled to variance 1; NaN where a state is no
        number.
    """
    if not np.isfinite(states).all():
        return float("nan")
    past = StandardScaler().fit_transform(_rows(_past(x)))
    fitting, scoring = _halves(past, len(x))
    seen, unseen = _halves(_rows(states[:, LAGS:]), len(x))
    probe = make_pipeline(StandardScaler(), Ridge(alpha=1.0)).fit(seen, fitting)
    errors = np.mean((scoring - probe.predict(unseen)) ** 2)
    return float(1 - errors / np.mean((scoring - scoring.mean(axis=0)) ** 2))


def probe_class(states: np.ndarray, classes: np.ndarray) -> float:
    """Return how often a class is read right from the states by logistic regression.

    Args:
        states: ``(sample, time, unit)``.
        classes: ``(sample, time)``.

    Returns:
        The accuracy; NaN where a state is no number.
    """
    if not np.isfinite(states).all():
        return float("nan")
    fitting, scoring = _halves(classes[:, LAGS:].reshape(-1), len(classes))
    seen, unseen = _halves(_rows(states[:, LAGS:]), len(classes))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return float(probe.fit(seen, fitting).score(unseen, scoring))


def narrowed(states: np.ndarray, units: int) -> np.ndarray:
    """Return the ``units`` main directions of the states, ``(sample, time, units)``.

    It makes a wide layer comparable with a narrow one: both then have as many numbers.
    """
    rows = _rows(states)
    if not np.isfinite(rows).all():
        return states[..., :units]
    main = PCA(min(units, rows.shape[1]), svd_solver="full").fit(_halves(rows, len(states))[0])
    return main.transform(rows).reshape(*states.shape[:2], -1)


def past_window(x: np.ndarray) -> np.ndarray:
    """Return each step's input and those before it, ``(sample, time, feature * (LAGS + 1))``.

    Steps that have no :data:`LAGS` steps before them are filled up with zeros.
    """
    padded = np.pad(x, ((0, 0), (LAGS, 0), (0, 0)))
    return np.concatenate([padded[:, n : n + x.shape[1]] for n in range(LAGS + 1)], axis=-1)


@for_each_model(
    past_layer_1=("R² of the past 10 inputs, layer 1", "1"),
    past_layer_1_narrowed=("R² of the past 10 inputs, layer 1 narrowed to layer 2", "1"),
    past_layer_2=("R² of the past 10 inputs, layer 2", "1"),
    past_now=("R² of the past 10 inputs, the present input alone", "1"),
    past_lost_by_depth=("R² of the past lost from layer 1 to layer 2", "1"),
)
def measure_past(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Probe the layers of a stack on real data for past inputs, by claim 9.

    Args:
        model: A stack of two layers; the first may be the wider one.
        x: ``(sample, time, feature)``; windows that don't overlap.
    """
    lower, upper = hidden_states(model, x)[:2]
    matched = probe_past(narrowed(lower, upper.shape[-1]), x)
    above = probe_past(upper, x)
    return {
        "past_layer_1": probe_past(lower, x),
        "past_layer_1_narrowed": matched,
        "past_layer_2": above,
        "past_now": probe_past(x, x),
        "past_lost_by_depth": matched - above,
    }


def _past(x: np.ndarray) -> np.ndarray:
    """Return the inputs 1 to :data:`LAGS` steps before each step that has so many before it."""
    return past_window(x)[:, LAGS:, : -x.shape[-1]]


def _rows(states: np.ndarray) -> np.ndarray:
    return states.reshape(-1, states.shape[-1])


def _halves(rows: Any, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of every other sample, and of those between."""
    by_sample = np.asarray(rows).reshape(samples, -1, *np.shape(rows)[1:])
    one, other = by_sample[::2], by_sample[1::2]
    return one.reshape(-1, *one.shape[2:]), other.reshape(-1, *other.shape[2:])
