"""What a report says in words and tables, worked out from the measured values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from pandas.io.formats.style import Styler

from lstm_states.schema import METRICS, MOVED, PARTS


def describe_data(samples: xr.Dataset) -> str:
    """Say in Markdown what data this is and how many samples each part holds."""
    counts = [int((samples["part"] == index).sum()) for index in range(len(PARTS))]
    shown = ", ".join(f"{count:,} {name}" for name, count in zip(PARTS, counts, strict=True))
    return (
        f"**{samples.attrs['title']}**, target `{samples.attrs['target']}`: {shown} samples of "
        f"{samples.sizes['feature']} features. {samples.attrs['description']} "
        f"Source: {samples.attrs['source']}."
    )


def describe_drift(samples: xr.Dataset) -> str:
    """Say what the target's mean is in the training and in the test part."""
    means = [float(samples["y"].where(samples["part"] == index).mean()) for index in (0, 2)]
    scale, shift = samples.attrs["target_std"], samples.attrs["target_mean"]
    train, test = (mean * scale + shift for mean in means)
    return f"Mean of the target: {train:.2f} in the training part, {test:.2f} in the test part"


def describe_lead(results: xr.Dataset) -> str:
    """Say how the model did beside its strongest baseline.

    It is ahead or behind only where the 95 % interval of the difference leaves out 0.
    """
    others = results.isel(predictor=slice(1, None))
    best = others.isel(predictor=int(np.argmin(others["gain"].values)))
    gain, low, high = (float(best[name]) for name in ("gain", "gain_low", "gain_high"))
    return lead_in_words(str(best["predictor"].values), gain, low, high)


def lead_in_words(name: str, gain: float, low: float, high: float) -> str:
    """Say how a model did beside the baseline ``name``, given the difference and its interval."""
    word = "beats" if low > 0 else "is beaten by" if high < 0 else "is not clearly apart from"
    sign = "+" if gain >= 0 else "−"
    interval = f"{low:+.3f} to {high:+.3f}".replace("-", "−")
    return f"The LSTM stack {word} {name}: {sign}{abs(gain):.3f} (95 % CI {interval})"


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


def describe_training(history: xr.Dataset) -> str:
    """Say which epoch was kept and what the seeds' validation losses there were."""
    kept = history["val_loss"].sel(epoch=history["kept_epoch"]).values
    epochs = history["kept_epoch"].values
    first, last = epochs.min(), epochs.max()
    when = f"epoch {first}" if first == last else f"epochs {first} to {last}"
    return f"Kept weights are from {when}; validation loss {kept.min():.3f} to {kept.max():.3f}"


def describe_change(summary: xr.Dataset) -> str:
    """Say which layer's hidden state moves faster."""
    return f"Relative change of h per step: {_by_layer(summary['change'], '.2f')}"


def describe_saturation(summary: xr.Dataset) -> str:
    """Say how often the forget gates are nearly open."""
    return f"Forget gates above 0.9: {_by_layer(summary['forget_gate_open'], '.0%')}"


def describe_memory(summary: xr.Dataset) -> str:
    """Say how long the layers' cell states last."""
    return f"Half-life of a cell state, in steps: {_by_layer(summary['half_life'], '.1f')}"


def _by_layer(values: xr.DataArray, form: str) -> str:
    pairs = zip(values["layer"].values, values.values, strict=True)
    return ", ".join(f"{value:{form}} in {layer}" for layer, value in pairs)


def describe_warm_up(by_step: xr.Dataset) -> str:
    """Say what the median seed scores after the first, the tenth and the last step."""
    score = by_step["score"].median("seed")
    last = by_step.sizes["steps_seen"]
    steps = dict.fromkeys((1, min(10, last), last))
    shown = ", ".join(f"{score.sel(steps_seen=step):.3f} after {step}" for step in steps)
    return f"{METRICS[by_step.attrs['metric']]} by the number of steps seen: {shown}"


def span(values: Sequence[float]) -> str:
    """Write the least and the greatest of some values, or the one that all of them are."""
    low, high = _number(min(values)), _number(max(values))
    return low if low == high else f"{low} to {high}"


def _number(value: float) -> str:
    """Write a number with two digits, and what is far from 1 as a power of ten."""
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.2g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def describe_evidence(evidence: xr.Dataset, name: str) -> str:
    """Say what one measure is and what its values are."""
    values = evidence[name]
    return f"{values.attrs['long_name']}: {span(values.values.tolist())}"


def describe_by_layer(evidence: xr.Dataset, measure: str, *, what: str) -> str:
    """Say what ``<measure>_layer_1`` and ``<measure>_layer_2`` are, ``what`` being measured."""
    shown = [
        f"{span(evidence[f'{measure}_layer_{layer}'].values.tolist())} in layer {layer}"
        for layer in (1, 2)
    ]
    return f"{what}: {', '.join(shown)}"


def describe_decision(row: Mapping[str, Any]) -> str:
    """Say what decided a claim, given its row of claims.json: one measure and its values.

    For a claim that fails it is the test that fails first, for an open one the one that is open.
    """
    wanted = {"supported": "holds", "undecided": "open"}.get(row["verdict"], "fails")
    tests = [test for test in row["tests"] if test["values"]]
    deciding = next((test for test in tests if test["outcome"] == wanted), None)
    if deciding is None:
        return "Not measured"
    return f"{deciding['says']}: {span(list(deciding['values'].values()))}"


def describe_recall(sweep: xr.Dataset) -> str:
    """Say how long c keeps a change at each forget bias, given what ``sweep_forget_bias`` returned.

    The median of the models; where it lasts beyond the last step, that it does.
    """
    most = sweep.sizes["step"] - 1
    lives = sweep["half_life"].median(["model", "layer"]).values
    shown = [f">{most}" if life >= most else _number(life) for life in lives]
    biases = f"{sweep['forget_bias'].values[0]:g} to {sweep['forget_bias'].values[-1]:g}"
    biases = biases.replace("-", "−")
    return f"Half-life of c at forget bias {biases}: {', '.join(shown)} steps"


def describe_errors(errors: xr.Dataset) -> str:
    """Say which predictors learnt the longest task that all were trained on.

    A predictor has learnt it where the error of every seed is below a tenth of the baseline's that
    does nothing.
    """
    whole = errors["error"].dropna("length")
    longest = whole.isel(length=int(np.argmax(whole["length"].values)))
    enough = longest.sel(predictor="do_nothing").min() / 10
    learnt = [
        str(name)
        for name in longest["predictor"].values
        if float(longest.sel(predictor=name).max()) < enough
    ]
    names = ", ".join(learnt) or "none"
    return f"Over {int(longest['length'])} steps all seeds learn with: {names}"


def describe_slopes(kept: xr.Dataset) -> str:
    """Say what is left of the gradient of an LSTM: by default, under chrono, and after training."""
    shown = ", ".join(
        f"{span(kept[f'slope_kept_{name}'].values.tolist())} {words}"
        for name, words in (("default", "by default"), ("chrono", "chrono"), ("trained", "trained"))
    )
    return f"Left of the gradient at the first step: {shown}"


def describe_arrows(moves: xr.Dataset) -> str:
    """Say what reaches the upper layer in a step, given what ``measure_arrows`` returned."""
    upper = moves["move"].sel(target="layer 2").max("model").dropna("source")
    reaching = upper["source"].values[upper.values > MOVED]
    others = upper["source"].values[upper.values <= MOVED]
    return f"Layer 2 is reached by {', '.join(reaching)}; not by {', '.join(others)}"


def describe_passed(evidence: xr.Dataset, name: str) -> str:
    """Say of a limit in which cases it is passed, given 0 or 1 for each."""
    values = evidence[name].to_series()
    sides = [
        f"{word} ({', '.join(values.index[values == passed])})"
        for word, passed in (("yes", 1), ("no", 0))
        if (values == passed).any()
    ]
    return f"{evidence[name].attrs['long_name']}: {'; '.join(sides)}"


def describe_ratios(taken: xr.DataArray) -> str:
    """Say how the medians of two ways compare, given ``(case, way, round)``."""
    costly, frugal = taken.median("round").transpose("way", "case").values
    shown = [
        f"{ratio:.2g} ({case})"
        for case, ratio in zip(taken["case"].values, costly / frugal, strict=True)
    ]
    first, second = taken["way"].values
    return f"{taken.attrs['long_name']}, {first} to {second}: {', '.join(shown)}"


def describe_handover(evidence: xr.Dataset) -> str:
    """Say how many layers hand a mask on and which lose it without a warning."""
    handed_on, warned = (evidence[name].values == 1 for name in ("mask_handed_on", "warned"))
    silent = evidence["model"].values[~handed_on & ~warned]
    return (
        f"{handed_on.sum()} of {len(handed_on)} hand the mask on; "
        f"lost without a word: {', '.join(silent) or 'by none'}"
    )


def evidence_table(evidence: xr.Dataset) -> Styler:
    """Tabulate what was measured, a row per measure."""
    rows = [
        {"measured": values.attrs["long_name"], "value": span(values.values.tolist())}
        for values in evidence.data_vars.values()
    ]
    return pd.DataFrame(rows).style.hide()
