"""Word the answer from the measured values."""

from __future__ import annotations

import xarray as xr

from experiments.shared.evidence import MOVED, Kept, span_of, values_of


def answer(kept: Kept) -> str:
    """Say in Markdown what a mask skips, where padding leaves a trace, and how zeros did."""
    zeros, partly = "move_of_all_zero_step", "move_of_partly_zero_step"
    padded = ("padded_minus_bare", "masked_before_minus_bare")
    return (
        f"**Answer.** A step where all features equal the mask's value is {_skipped(kept, zeros)}: "
        f"removing it moves the last `h` by {span_of(kept, zeros)}. A step where half of them do "
        f"is {_skipped(kept, partly)}: {span_of(kept, partly)}. A genuine step of zeros is "
        "treated like padding, which changes the last `h` by "
        f"{span_of(kept, 'genuine_zero_lost')}. The states of all layers, padded in a batch at "
        f"either end or alone, differ by {span_of(kept, *padded)}. If the mask reaches them, loss "
        "and metrics differ from those of the real steps by "
        f"{span_of(kept, 'loss_minus_real', 'metric_minus_real')}. A longer masked gap moves the "
        f"last `h` by {span_of(kept, 'longer_gap_moves')}; the stacks skip a share of "
        f"{span_of(kept, 'nan_skipped', 'nan_skipped_by_nan')} of the NaN steps. "
        f"{_contest(kept, 'numbers', 'single numbers')} {_contest(kept, 'steps', 'whole steps')}"
    )


def _skipped(kept: Kept, measure: str) -> str:
    still = [value <= MOVED for value in values_of(kept, measure)]
    return "skipped" if all(still) else "skipped by some stacks" if any(still) else "not skipped"


def _contest(kept: Kept, missing: str, words: str) -> str:
    """Say how zeros did, given a measure that says "Test error with 0 over that with ..."."""
    measure = f"error_zero_over_best_{missing}"
    says = kept[measure]["says"].removeprefix("T")
    return f"If {words} are missing, the t{says} is {span_of(kept, measure)}, seed by seed."


def describe_handover(evidence: xr.Dataset) -> str:
    """Say how many layers hand a mask on and which lose it without a warning."""
    handed_on, warned = (evidence[name].values == 1 for name in ("mask_handed_on", "warned"))
    silent = evidence["model"].values[~handed_on & ~warned]
    return (
        f"{handed_on.sum()} of {len(handed_on)} pass the mask on; "
        f"lost silently: {', '.join(silent) or 'none'}"
    )
