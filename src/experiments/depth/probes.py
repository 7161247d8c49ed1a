"""Linear probes: what can be read from the states of a layer.

:func:`lstm_states.probe_states` is fitted on every other sample and scored on the ones between, at
steps that have :data:`~experiments.depth.settings.LAGS` steps before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import xarray as xr

from experiments.depth.settings import LAGS
from experiments.shared.evidence import for_each_model
from experiments.shared.stack import run_layers
from lstm_states.geometry import measure_principal_directions
from lstm_states.probes import probe_states


def hidden_states(model: keras.Model, x: np.ndarray) -> list[np.ndarray]:
    """Return h of each layer at every step, ``(sample, time, unit)``, lowest layer first."""
    return [np.asarray(run.sequence) for run in run_layers(model, x).values()]


def as_traces(states: Mapping[str, np.ndarray]) -> xr.DataTree:
    """Lay out values ``(sample, time, unit)`` as a tree of traces without masks.

    The library's measures then take what Keras itself gave, or values that are no states.
    """
    return xr.DataTree.from_dict(
        {
            f"/{name}": xr.Dataset(
                {
                    "hidden": (("sample", "time", "unit"), values),
                    "mask": (("sample", "time"), np.ones(values.shape[:2], bool)),
                },
                attrs={"go_backwards": 0},
            )
            for name, values in states.items()
        }
    )


def probe_past(states: np.ndarray, x: np.ndarray) -> float:
    """Return how well the past inputs are read from the states by ridge regression.

    Args:
        states: ``(sample, time, unit)``.
        x: The inputs, ``(sample, time, feature)``.

    Returns:
        R² over all features and lags together, each scaled to variance 1; NaN where a state is no
        number.
    """
    past = past_window(x)[..., : -x.shape[-1]]  # without the present
    return _score(states, numbers=past[:, LAGS:])


def probe_class(states: np.ndarray, classes: np.ndarray) -> float:
    """Return how often a class is read right from the states by logistic regression.

    Args:
        states: ``(sample, time, unit)``.
        classes: ``(sample, time)``.

    Returns:
        The accuracy; NaN where a state is no number.
    """
    return _score(states, classes=classes[:, LAGS:])


def _score(states: np.ndarray, **targets: Any) -> float:
    return float(probe_states(as_traces({"states": states[:, LAGS:]}), **targets)["score"][0])


def narrowed(states: np.ndarray, units: int) -> np.ndarray:
    """Return the ``units`` main directions of the states, ``(sample, time, units)``.

    It makes a wide layer comparable with a narrow one: both then have as many numbers.
    """
    if not np.isfinite(states).all():
        return states[..., :units]
    # Found on the samples that a probe is fitted to.
    found = measure_principal_directions(as_traces({"states": states[::2]}), "states")
    return (states - found["mean"].values) @ found["directions"].values[:units].T


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
