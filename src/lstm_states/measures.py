"""Numbers from predictions and from traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from lstm_states.schema import METRICS, PARTS, SIGMOID_GATES, layers_of

TASKS = {
    "mse": "regression",
    "huber": "regression",
    "binary_crossentropy": "binary",
    "sparse_categorical_crossentropy": "classes",
}
"""The kind of task that a loss stands for."""

SATURATED = (0.1, 0.9)
"""A gate below the first is called closed, above the second open (Karpathy et al. 2015)."""


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
    """Return how far each seed's score is above that of each baseline.

    Args:
        results: What :func:`measure_results` returned.
        seeds: The seeds, in the order of the models.

    Returns:
        ``lead_on_persistence`` and so on, one variable for each baseline, over ``model``.
    """
    metric = METRICS[results.attrs["metric"]]
    leads = {}
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


def measure_states(traces: xr.DataTree) -> xr.Dataset:
    """Sum up what the states and gates of each layer did at real steps.

    Args:
        traces: What ``record_traces`` returned.

    Returns:
        Along ``layer``: ``hidden_size`` and ``cell_size``, root mean squares; ``hidden_saturated``,
        the share of |h| above 0.9; for each sigmoid gate ``<gate>_closed`` and ``<gate>_open``, the
        shares below 0.1 and above 0.9; ``half_life`` in steps, after which the median unit's cell
        state has halved under its mean forget gate, ``-ln 2 / mean ln f``; and ``change``, the root
        mean square of h(t) - h(t-1) over that of h.
    """
    layers = layers_of(traces)
    rows = [_layer_summary(node) for node in layers.values()]
    return xr.Dataset(
        {name: ("layer", [row[name] for row in rows]) for name in rows[0]},
        coords={"layer": list(layers)},
    )


def _layer_summary(node: xr.Dataset) -> dict[str, float]:
    real = node["mask"]
    hidden, cell = (node[name].where(real) for name in ("hidden", "cell"))
    with np.errstate(divide="ignore"):  # a gate of 0 or 1 keeps a state for no step or for ever
        decay = abs(xr.apply_ufunc(np.log, node["forget_gate"].where(real))).mean(
            ["sample", "time"]
        )
        half_lives = np.log(2) / decay
    summary = {
        "hidden_size": _rms(hidden),
        "cell_size": _rms(cell),
        "hidden_saturated": _share(abs(hidden) > SATURATED[1], real),
        "half_life": float(half_lives.median()),
        "change": _rms(hidden.diff("time")) / _rms(hidden),
    }
    for gate in SIGMOID_GATES:
        summary[f"{gate}_closed"] = _share(node[gate] < SATURATED[0], real)
        summary[f"{gate}_open"] = _share(node[gate] > SATURATED[1], real)
    return summary


def measure_saturation(traces: xr.DataTree) -> xr.Dataset:
    """Measure how often the gates of each layer are as good as closed or open, at real steps.

    Karpathy, Johnson and Fei-Fei (2015), "Visualizing and Understanding Recurrent Networks": a gate
    is left-saturated below 0.1 and right-saturated above 0.9.

    Args:
        traces: What ``record_traces`` returned, of any kind of cell.

    Returns:
        Along ``layer`` the shares ``<gate>_saturated_left`` and ``<gate>_saturated_right``, for an
        LSTM of its three sigmoid gates, for a GRU of ``update_gate`` and ``reset_gate``; NaN where
        a layer has or the traces hold no such gate, and where no step is real.

    Example:
        >>> measure_saturation(traces)["forget_gate_saturated_right"].sel(layer="lstm")
    """
    return _by_layer(traces, _saturation)


def measure_norms(traces: xr.DataTree) -> xr.Dataset:
    """Measure how large the states of each layer are at real steps.

    Args:
        traces: What ``record_traces`` returned, of any kind of cell.

    Returns:
        Along ``layer`` ``hidden_norm`` and ``cell_norm``, the mean over samples and real steps of
        the L2 norm over the units; NaN as in :func:`measure_saturation`.
    """
    return _by_layer(traces, _norms)


def _by_layer(traces: xr.DataTree, measure: Callable[[xr.Dataset], dict[str, float]]) -> xr.Dataset:
    rows = {address: measure(node) for address, node in layers_of(traces).items()}
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return xr.Dataset(
        {name: ("layer", [row.get(name, np.nan) for row in rows.values()]) for name in names},
        coords={"layer": list(rows)},
    )


def _saturation(node: xr.Dataset) -> dict[str, float]:
    low, high = SATURATED
    shares = {}
    for gate in (str(name) for name in node.data_vars if str(name).endswith("_gate")):
        shares[f"{gate}_saturated_left"] = _share(node[gate] < low, node["mask"])
        shares[f"{gate}_saturated_right"] = _share(node[gate] > high, node["mask"])
    return shares


def _norms(node: xr.Dataset) -> dict[str, float]:
    norms = {}
    for name in (state for state in ("hidden", "cell") if state in node):
        norm = (node[name] ** 2).sum("unit") ** 0.5
        norms[f"{name}_norm"] = float(norm.where(node["mask"]).mean())
    return norms


def _rms(values: xr.DataArray) -> float:
    return float(np.sqrt((values**2).mean()))


def _share(condition: xr.DataArray, real: xr.DataArray) -> float:
    return float(condition.where(real).mean())
