"""Word the answer from the measured values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from experiments.memory.variants import VARIANTS
from experiments.shared.evidence import Kept, span_of, values_of
from notebook_pipeline.conditions import short, span

LEARNT = 0.1
"""An error is that of something learnt where it is below this share of what doing nothing has."""


def answer(kept: Kept, sweep: xr.Dataset, *, length: int) -> str:
    """Say in Markdown how long c lasts, how far back a gradient reaches and what is learnt.

    Args:
        kept: What was measured.
        sweep: What ``sweep_forget_bias`` returned.
        length: Steps of the adding task that all variants were trained on.
    """
    return f"**Answer.** {_half_lives(sweep)} {_gradients(kept)} {_learnt(kept, length)}"


def _half_lives(sweep: xr.Dataset) -> str:
    most = sweep.sizes["step"] - 1
    shown = []
    for bias in sweep["forget_bias"].values:
        lives = sweep["half_life"].sel(forget_bias=bias).values.ravel().tolist()
        lasts = f"{most} or more" if min(lives) >= most else span(lives)
        shown.append(f"{lasts} at {bias:g}".replace("-", "−"))
    return (
        "`c` lasts as long as the forget gate allows. Steps until a change of `c` has halved, by "
        f"forget bias: {', '.join(shown)}."
    )


def _gradients(kept: Kept) -> str:
    default, chrono, trained = (
        span_of(kept, f"slope_kept_{name}") for name in ("default", "chrono", "trained")
    )
    return (
        "Relative to the last step, the gradient at the first step is "
        f"{default} at Keras's initialisation, {chrono} at chrono initialisation, and {trained} "
        "after training."
    )


def _learnt(kept: Kept, length: int) -> str:
    nothing = values_of(kept, "adding_error_do_nothing")
    by_extent: dict[str, list[str]] = {"every seed": [], "some seeds": [], "no seed": []}
    for name, words in VARIANTS.items():
        errors = values_of(kept, f"adding_error_{name}")
        learnt = [e < LEARNT * none for e, none in zip(errors, nothing, strict=True)]
        extent = "every seed" if all(learnt) else "some seeds" if any(learnt) else "no seed"
        by_extent[extent].append(words)
    said = [f"with {extent}: {', '.join(names)}" for extent, names in by_extent.items() if names]
    return (
        f"Over {length} steps, the adding task is learnt (an error below a tenth of "
        f"{span(nothing)}, that of the constant answer 1) {'; '.join(said)}."
    )


def describe_recall(sweep: xr.Dataset) -> str:
    """Say how long c keeps a change at each forget bias, given what ``sweep_forget_bias`` returned.

    The median of the models; where it lasts beyond the last step, that it does.
    """
    most = sweep.sizes["step"] - 1
    lives = sweep["half_life"].median(["model", "layer"]).values
    shown = [f">{most}" if life >= most else short(life) for life in lives]
    biases = f"{sweep['forget_bias'].values[0]:g} to {sweep['forget_bias'].values[-1]:g}"
    biases = biases.replace("-", "−")
    return f"Half-life of c at forget bias {biases}: {', '.join(shown)} steps"


def describe_errors(errors: xr.Dataset, labels: Mapping[str, str]) -> str:
    """Say which predictors, by their ``labels``, learnt the longest task all were trained on.

    A predictor has learnt it where the error of every seed is below a tenth of the baseline's that
    does nothing.
    """
    whole = errors["error"].sel(length=errors["whole"])
    longest = whole.isel(length=int(np.argmax(whole["length"].values)))
    enough = longest.sel(predictor="do_nothing").min() / 10
    learnt = [
        labels[str(name)]
        for name in longest["predictor"].values
        if bool((longest.sel(predictor=name) < enough).all())
    ]
    names = "; ".join(learnt) or "none"
    return f"Over {int(longest['length'])} steps, all seeds learn with: {names}"


def describe_slopes(kept: xr.Dataset) -> str:
    """Say what is left of the gradient of an LSTM: by default, under chrono, and after training."""
    shown = ", ".join(
        f"{span(kept[f'slope_kept_{name}'].values.tolist())} {words}"
        for name, words in (("default", "by default"), ("chrono", "chrono"), ("trained", "trained"))
    )
    return f"Gradient left at the first step: {shown}"
