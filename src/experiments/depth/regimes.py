"""A hidden regime, read from the layers of stacks that learnt to predict the next value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from sklearn.linear_model import Ridge

from experiments.depth.probes import hidden_states, past_window, probe_class, probe_past
from experiments.depth.settings import LAGS
from experiments.shared.evidence import as_evidence
from experiments.shared.learning import Models, Tasks, named, part_of
from experiments.shared.scores import measure_accuracy, measure_r2

STEPS = 40
"""Length of a series."""

SLOPE = 0.9
"""Size of the coefficient of both regimes; its sign tells them apart."""

STAY = 25.0
"""Mean number of steps between switches: longer than it takes to notice one."""

SERIES = {"steps": STEPS, "slope": SLOPE, "stay": STAY}
"""What ``make_regimes`` is given."""

Probe = Callable[[np.ndarray, np.ndarray], float]


def measure_regime(trained: Models, untrained: Models, tasks: Tasks) -> xr.Dataset:
    """Probe two layers of equal width for the regime, by claim 9.

    The regime is no target in training; only the next value is.

    Args:
        trained: By seed, stacks of two layers that predict at every step.
        untrained: The same stacks before training.
        tasks: What ``make_regimes`` returned, by seed.

    Returns:
        Accuracies of linear probes on both layers, of a linear probe on the last values and on the
        products of neighbours among them, and the best accuracy that there can be; with what the
        second layer adds to the first, and training to the second.
    """

    def probe(states: np.ndarray, task: xr.Dataset) -> float:
        return probe_class(states, task["regime"].values)

    rows = _by_layer("regime", probe, trained, untrained, tasks)
    for seed, row in rows.items():
        task = part_of(tasks[seed], "test")
        x, regime = task["x"].values, task["regime"].values
        window = past_window(x)
        row["regime_linear"] = probe_class(window, regime)
        row["regime_products"] = probe_class(window[..., 1:] * window[..., :-1], regime)
        best = best_guess(x[..., 0]) > 0.5
        row["regime_ceiling"] = measure_accuracy(regime[:, LAGS:], best[:, LAGS:])
        row["regime_gained_by_depth"] = row["regime_layer_2"] - row["regime_layer_1"]
        row["regime_gained_by_training"] = row["regime_layer_2"] - row["regime_layer_2_untrained"]
    says = _of_layers("regime", "Accuracy for the regime") | {
        "regime_linear": ("Accuracy for the regime, the last 11 values themselves", "1"),
        "regime_products": ("Accuracy for the regime, products of neighbours among them", "1"),
        "regime_ceiling": ("Accuracy for the regime, Bayes' rule on all values so far", "1"),
        "regime_gained_by_depth": ("Accuracy for the regime, layer 2 less layer 1", "1"),
        "regime_gained_by_training": ("Accuracy for the regime, layer 2 less untrained", "1"),
    }  # fmt: skip
    return as_evidence(named(rows), says)


def measure_regime_past(trained: Models, untrained: Models, tasks: Tasks) -> xr.Dataset:
    """Probe two layers of equal width for the past inputs, by claim 9.

    Args:
        trained: As :func:`measure_regime` takes them.
        untrained: The same stacks before training.
        tasks: What ``make_regimes`` returned, by seed.

    Returns:
        R² of linear probes on both layers and on the present input, and what is lost from the
        first to the second layer of the trained stack.
    """

    def probe(states: np.ndarray, task: xr.Dataset) -> float:
        return probe_past(states, task["x"].values)

    rows = _by_layer("past", probe, trained, untrained, tasks)
    for seed, row in rows.items():
        test = part_of(tasks[seed], "test")
        row["past_now"] = probe(test["x"].values, test)
        row["past_lost_by_depth"] = row["past_layer_1"] - row["past_layer_2"]
    says = _of_layers("past", "R² of the past 10 inputs") | {
        "past_now": ("R² of the past 10 inputs, the present input alone", "1"),
        "past_lost_by_depth": ("R² of the past lost from layer 1 to layer 2", "1"),
    }
    return as_evidence(named(rows), says)


def measure_forecasts(trained: Models, tasks: Tasks) -> xr.Dataset:
    """Score the forecasts that the stacks were trained for.

    Args:
        trained: As :func:`measure_regime` takes them.
        tasks: What ``make_regimes`` returned, by seed.

    Returns:
        R² of the next value on the test part: of the stacks, of ridge on the last 11 values, and of
        the best forecast that there can be, which weighs the two regimes by their probability.
    """
    rows = {}
    for seed, task in tasks.items():
        train, test = part_of(task, "train"), part_of(task, "test")
        linear = Ridge(alpha=1.0).fit(_windows(train), train["y"].values[:, LAGS:].ravel())
        x, y = test["x"].values, test["y"].values[:, LAGS:]
        ahead = best_guess(x[..., 0])
        ahead = ahead + (1 - 2 * ahead) / STAY  # the regime may switch before the next value
        best = SLOPE * (1 - 2 * ahead) * x[..., 0]
        given = np.asarray(trained[seed](x))[..., 0]
        rows[seed] = {
            "forecast_r2": measure_r2(y, given[:, LAGS:]),
            "forecast_r2_linear": measure_r2(y.ravel(), linear.predict(_windows(test))),
            "forecast_r2_ceiling": measure_r2(y, best[:, LAGS:]),
        }
    return as_evidence(
        named(rows),
        {
            "forecast_r2": ("R² of the next value, the stack", "1"),
            "forecast_r2_linear": ("R² of the next value, ridge on the last 11 values", "1"),
            "forecast_r2_ceiling": ("R² of the next value, Bayes' rule", "1"),
        },
    )


def best_guess(values: np.ndarray) -> np.ndarray:
    """Return the probability of regime 1 given the values so far, by Hamilton's filter.

    Source: Hamilton (1989), for an autoregression of one lag whose coefficient is ``SLOPE`` or
    ``-SLOPE`` and which stays in a regime for ``STAY`` steps on average.

    Args:
        values: ``(sample, time)``.

    Returns:
        ``(sample, time)``, between 0 and 1.
    """
    chance = np.full(values.shape, 0.5)
    variance = 1 - SLOPE**2
    for step in range(1, values.shape[1]):
        before, now = values[:, step - 1].astype(float), values[:, step].astype(float)
        ahead = chance[:, step - 1] + (1 - 2 * chance[:, step - 1]) / STAY
        likely = np.exp(-((now + SLOPE * before) ** 2) / (2 * variance)) * ahead
        unlikely = np.exp(-((now - SLOPE * before) ** 2) / (2 * variance)) * (1 - ahead)
        chance[:, step] = likely / (likely + unlikely)
    return chance


def _windows(part: xr.Dataset) -> np.ndarray:
    """Return the last 11 values at each step that has so many, a row for each."""
    return past_window(part["x"].values)[:, LAGS:].reshape(-1, LAGS + 1)


def _by_layer(
    name: str,
    probe: Callable[[np.ndarray, xr.Dataset], float],
    trained: Models,
    untrained: Models,
    tasks: Tasks,
) -> dict[int, dict[str, float]]:
    """Apply a probe to both layers of all stacks."""
    rows: dict[int, dict[str, float]] = {seed: {} for seed in tasks}
    for ending, models in (("", trained), ("_untrained", untrained)):
        for seed, task in tasks.items():
            probed = part_of(task, "test")
            for layer, states in enumerate(hidden_states(models[seed], probed["x"].values), 1):
                rows[seed][f"{name}_layer_{layer}{ending}"] = probe(states, probed)
    return rows


def _of_layers(name: str, words: str) -> dict[str, tuple[str, str]]:
    return {
        f"{name}_layer_{layer}{ending}": (f"{words}, layer {layer} {how}", "1")
        for ending, how in (("", "trained"), ("_untrained", "untrained"))
        for layer in (1, 2)
    }
