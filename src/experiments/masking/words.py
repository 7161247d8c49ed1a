"""The answer, worded from what was measured."""

from __future__ import annotations

import xarray as xr

from experiments.shared.evidence import MOVED, Kept, span_of, values_of


def answer(kept: Kept) -> str:
    """Say in Markdown what a mask skips, where padding leaves a trace, and how zeros did."""
    zeros, partly = "move_of_all_zero_step", "move_of_partly_zero_step"
    padded = ("padded_minus_bare", "masked_before_minus_bare")
    return (
        f"**Answer.** A step where all features equal the mask's value is {_skipped(kept, zeros)}: "
        f"taking it out moves the last `h` by {span_of(kept, zeros)}. One where half of them do is "
        f"{_skipped(kept, partly)}: {span_of(kept, partly)}. A step that was really measured as "
        "all zeros is treated like padding, which changes the last `h` by "
        f"{span_of(kept, 'genuine_zero_lost')}. Padded in a batch, before or behind, and alone, "
        f"the states of all layers differ by {span_of(kept, *padded)}. Loss and metrics differ "
        "from those of real steps alone by "
        f"{span_of(kept, 'loss_minus_real', 'metric_minus_real')} where the mask reaches them. A "
        f"masked gap that grows moves the last `h` by {span_of(kept, 'longer_gap_moves')}; of "
        f"steps of NaN, a share of {span_of(kept, 'nan_skipped', 'nan_skipped_by_nan')} is "
        f"skipped. {_contest(kept, 'numbers', 'single numbers')} "
        f"{_contest(kept, 'steps', 'whole steps')}"
    )


def _skipped(kept: Kept, measure: str) -> str:
    still = [value <= MOVED for value in values_of(kept, measure)]
    return "skipped" if all(still) else "skipped by some stacks" if any(still) else "not skipped"


def _contest(kept: Kept, missing: str, words: str) -> str:
    """Say how zeros did, given a measure that says "Test error with 0 over that with ..."."""
    measure = f"error_zero_over_best_{missing}"
    says = kept[measure]["says"].removeprefix("T")
    return f"Where {words} are missing, the t{says} is {span_of(kept, measure)}, seed by seed."


def describe_handover(evidence: xr.Dataset) -> str:
    """Say how many layers hand a mask on and which lose it without a warning."""
    handed_on, warned = (evidence[name].values == 1 for name in ("mask_handed_on", "warned"))
    silent = evidence["model"].values[~handed_on & ~warned]
    return (
        f"{handed_on.sum()} of {len(handed_on)} hand the mask on; "
        f"lost without a word: {', '.join(silent) or 'by none'}"
    )
