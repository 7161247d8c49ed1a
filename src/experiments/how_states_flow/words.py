"""Word the answer from the measured values."""

from __future__ import annotations

import xarray as xr

from experiments.shared.evidence import MOVED, Kept, in_which, span_of


def answer(kept: Kept) -> str:
    """Say in Markdown what goes up and what is carried."""
    carried = in_which(kept, {"`h`": "c_alone_minus_whole", "`c`": "h_alone_minus_whole"})
    rises = in_which(kept, {"`h`": "h_below_moves", "`c`": "c_below_moves"})
    return (
        f"**Answer.** From step to step, a layer carries {carried}; at each step, it "
        f"passes up {rises}. If `c` of layer 1 changes while its `h` is held, layer 2 moves by "
        f"{span_of(kept, 'c_below_moves')}; if `h` changes, by {span_of(kept, 'h_below_moves')}. "
        f"Numbers passed up per unit and step: {span_of(kept, 'numbers_per_unit')}."
    )


def describe_arrows(moves: xr.Dataset) -> str:
    """Say what reaches the upper layer in any step, given what ``measure_arrows`` returned."""
    upper = moves["move"].sel(target="layer 2").max(["model", "step"]).dropna("source")
    reaching = upper["source"].values[upper.values > MOVED]
    others = upper["source"].values[upper.values <= MOVED]
    return f"Layer 2 depends on {', '.join(reaching)}; not on {', '.join(others)}"
