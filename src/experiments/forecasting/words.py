"""Texts of the reports of the configurations, computed from measured values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pandas.io.formats.style import Styler

from experiments.shared.scores import METRICS
from notebook_pipeline.conditions import short, span

STATES = ("cell", "hidden", "layer_output")
"""Residuals that say how far recorded states may be from the true ones."""


def answer_result(samples: xr.Dataset, results: xr.Dataset, residuals: xr.Dataset) -> str:
    """Say in Markdown how the stack did beside the baselines, and how certain its states are.

    Args:
        samples: What was trained and tested on.
        results: What ``measure_results`` returned.
        residuals: What ``check_traces`` returned.
    """
    return f"**Answer.** {_result(samples, results)} {_certain(residuals)}"


def answer_by_step(
    samples: xr.Dataset,
    results: xr.Dataset,
    residuals: xr.Dataset,
    evidence: Mapping[str, Any],
) -> str:
    """Say besides after how many steps the answer is as good as it gets.

    Args:
        samples: As for :func:`answer_result`.
        results: As there.
        residuals: As there.
        evidence: What was kept, ``warm_up_steps`` being what ``measure_warm_up`` returned.
    """
    steps = span(list(evidence["warm_up_steps"]["values"].values()))
    warm = (
        f"After {steps} of the {samples.sizes['time']} steps of a window, seed by seed, the score "
        "stays within 0.01 of its final value."
    )
    return f"**Answer.** {_result(samples, results)} {warm} {_certain(residuals)}"


def answer_padding(samples: xr.Dataset, results: xr.Dataset, residuals: xr.Dataset) -> str:
    """Say what padding did to the states, and how the stack did; arguments as elsewhere here."""
    carried = float(residuals["carried"].max())
    moved = (
        "both states of every layer stay exactly as they were: padding changes nothing"
        if carried == 0
        else f"the states move by up to {short(carried)}: padding leaves a trace"
    )
    return f"**Answer.** At a masked step no gate runs, and {moved}. {_result(samples, results)}"


def _result(samples: xr.Dataset, results: xr.Dataset) -> str:
    metric = METRICS[results.attrs["metric"]]
    others = results.isel(predictor=slice(1, None)).sortby("score", ascending=False)
    scores = zip(others["predictor"].values, others["score"].values, strict=True)
    beside = _joined([f"{decimals(score)} for {name}" for name, score in scores])
    seeds = results["seed_score"].values
    return (
        f"On {samples.attrs['title']}, target `{samples.attrs['target']}`, the stack reaches "
        f"{metric} {decimals(np.median(seeds))} on the test part{of_seeds(seeds)}, against "
        f"{beside}. {describe_lead(results)}."
    )


def _certain(residuals: xr.Dataset) -> str:
    """Say how far the recorded states are from the equations, at most."""
    largest = max(float(residuals[name].max()) for name in STATES)
    bound = "no number" if math.isnan(largest) else short(largest)
    return f"The recorded states are accurate to {bound}, the largest residual of their equations."


def _joined(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def describe_drift(samples: xr.Dataset) -> str:
    """Say what the target's mean is in the training and in the test part."""
    means = [float(samples["y"].where(samples["part"] == index).mean()) for index in (0, 2)]
    scale, shift = samples.attrs["target_std"], samples.attrs["target_mean"]
    train, test = (mean * scale + shift for mean in means)
    return f"Mean of the target: {train:.2f} in the training part, {test:.2f} in the test part"


def describe_padding(samples: xr.Dataset) -> str:
    """Say how much of the padded sequences is padding."""
    real = samples["length"].sum() / (samples.sizes["sample"] * samples.sizes["time"])
    return f"{1 - float(real):.0%} of the padded steps are padding"


def describe_training(history: xr.Dataset) -> str:
    """Say which epoch was kept and what the seeds' validation losses there were."""
    kept = history["val_loss"].sel(epoch=history["kept_epoch"]).values
    epochs = history["kept_epoch"].values
    first, last = epochs.min(), epochs.max()
    when = f"epoch {first}" if first == last else f"epochs {first} to {last}"
    return f"Kept weights are from {when}; validation loss {kept.min():.3f} to {kept.max():.3f}"


def describe_lead(results: xr.Dataset) -> str:
    """Say how the model did beside its strongest baseline.

    It is ahead or behind only where the 95 % interval of the difference leaves out 0.
    """
    others = results.isel(predictor=slice(1, None))
    gains = others["gain"].values
    best = others.isel(predictor=0 if np.isnan(gains).all() else int(np.nanargmin(gains)))
    gain, low, high = (float(best[name]) for name in ("gain", "gain_low", "gain_high"))
    return lead_in_words(str(best["predictor"].values), gain, low, high)


def lead_in_words(name: str, gain: float, low: float, high: float) -> str:
    """Say how a model did beside the baseline ``name``, given the difference and its interval."""
    if np.isnan(gain):
        return f"The LSTM stack can't be compared with {name}: there is no score"
    word = "beats" if low > 0 else "is beaten by" if high < 0 else "does not differ clearly from"
    sign = "+" if gain >= 0 else "−"
    interval = f"{low:+.3f} to {high:+.3f}".replace("-", "−")
    return f"The LSTM stack {word} {name}: {sign}{abs(gain):.3f} (95 % CI {interval})"


def decimals(score: float) -> str:
    """Write a score with three decimals, or that there is none."""
    return "(no number)" if np.isnan(score) else f"{score:.3f}".replace("-", "−")


def of_seeds(scores: np.ndarray) -> str:
    """Say how many seeds a median is of and how far they are apart; nothing of a single one."""
    if len(scores) == 1:
        return ""
    return f", the median of {len(scores)} seeds ({scores.min():.3f} to {scores.max():.3f})"


def describe_results(results: xr.Dataset) -> str:
    """Say in Markdown what the seeds reached and how that compares."""
    seeds = results["seed_score"].values
    metric = METRICS[results.attrs["metric"]]
    model = results.sel(predictor="model")
    return (
        f"**{metric} on the test part: {np.median(seeds):.3f}**, the median of {len(seeds)} seeds "
        f"({seeds.min():.3f} to {seeds.max():.3f}; 95 % CI of the median {model['low']:.3f} to "
        f"{model['high']:.3f}). "
        f"**{describe_lead(results)}.**"
    )


def results_table(results: xr.Dataset) -> Styler:
    """Tabulate every predictor's score and interval, and the model's lead on it."""
    metric = METRICS[results.attrs["metric"]]
    rows = []
    for name in results["predictor"].values:
        one = results.drop_dims("seed").sel(predictor=name)
        first = name == "model"
        rows.append(
            {
                "predictor": "LSTM stack, median of seeds" if first else name,
                metric: f"{one['score']:.3f}",
                "95 % interval": f"{one['low']:.3f} to {one['high']:.3f}",
                "lead of the stack": "" if first else f"{one['gain']:+.3f}",
                "its interval": ""
                if first
                else f"{one['gain_low']:+.3f} to {one['gain_high']:+.3f}",
            }
        )
    return pd.DataFrame(rows).style.hide()


def describe_warm_up(by_step: xr.Dataset) -> str:
    """Say what the median seed scores after the first, the tenth and the last step."""
    score = by_step["score"].median("seed")
    last = by_step.sizes["steps_seen"]
    steps = dict.fromkeys((1, min(10, last), last))
    shown = ", ".join(f"{score.sel(steps_seen=step):.3f} after {step}" for step in steps)
    return f"{METRICS[by_step.attrs['metric']]} by the number of steps seen: {shown}"


def states_table(summary: xr.Dataset) -> Styler:
    """Tabulate what ``measure_states`` returned, a column per layer."""
    labels = {
        "hidden_size": "size of h (root mean square)",
        "cell_size": "size of c (root mean square)",
        "hidden_saturated": "|h| above 0.9",
        "half_life": "half-life of c, median unit (steps)",
        "change": "change of h per step, relative",
    }
    labels |= {
        f"{gate}_gate_{end}": f"{gate} gate {side}"
        for gate in ("input", "forget", "output")
        for end, side in (("closed", "below 0.1"), ("open", "above 0.9"))
    }
    shares = {"hidden_saturated"} | {name for name in labels if "_gate_" in name}
    rows = [
        {"": label}
        | {
            str(layer): f"{value:.1%}" if name in shares else f"{value:.2f}"
            for layer, value in zip(summary["layer"].values, summary[name].values, strict=True)
        }
        for name, label in labels.items()
    ]
    return pd.DataFrame(rows).style.hide()


def describe_change(summary: xr.Dataset) -> str:
    """Say which layer's hidden state moves faster."""
    return f"Relative change of h per step: {_by_layer(summary['change'], '.2f')}"


def describe_saturation(summary: xr.Dataset) -> str:
    """Say how often the forget gates are nearly open."""
    return f"Forget gates above 0.9: {_by_layer(summary['forget_gate_open'], '.0%')}"


def describe_memory(summary: xr.Dataset) -> str:
    """Say how long the layers' cell states last."""
    return f"Half-life of a cell state, in steps: {_by_layer(summary['half_life'], '.1f')}"


def describe_carried(residuals: xr.Dataset) -> str:
    """Say how far states move in the padding, given what ``check_traces`` returned."""
    return f"Largest move of a state at a masked step: {short(float(residuals['carried'].max()))}"


def _by_layer(values: xr.DataArray, form: str) -> str:
    pairs = zip(values["layer"].values, values.values, strict=True)
    return ", ".join(f"{value:{form}} in {layer}" for layer, value in pairs)
