"""The answer, worded from what was measured."""

from __future__ import annotations

import xarray as xr

from experiments.shared.evidence import MOVED, Kept, in_which, span_of


def answer(kept: Kept) -> str:
    """Say in Markdown what goes up and what is carried."""
    carried = in_which(kept, {"`h`": "c_alone_minus_whole", "`c`": "h_alone_minus_whole"})
    rises = in_which(kept, {"`h`": "h_below_moves", "`c`": "c_below_moves"})
    return (
        f"**Answer.** From step to step a layer carries {carried}, its own; at each step {rises} "
        "goes up. With `h` of layer 1 held and its `c` changed, layer 2 moves by "
        f"{span_of(kept, 'c_below_moves')}; when `h` changes, by {span_of(kept, 'h_below_moves')}. "
        f"A layer hands up so many numbers per unit and step: {span_of(kept, 'numbers_per_unit')}."
    )


def describe_arrows(moves: xr.Dataset) -> str:
    """Say what reaches the upper layer in a step, given what ``measure_arrows`` returned."""
    upper = moves["move"].sel(target="layer 2").max("model").dropna("source")
    reaching = upper["source"].values[upper.values > MOVED]
    others = upper["source"].values[upper.values <= MOVED]
    return f"Layer 2 is reached by {', '.join(reaching)}; not by {', '.join(others)}"
