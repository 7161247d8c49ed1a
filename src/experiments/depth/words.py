"""Word the answer from the measured values."""

from __future__ import annotations

import xarray as xr

from experiments.depth.adding import CUT
from experiments.shared.evidence import Kept, span_of
from notebook_pipeline.conditions import span


def answer(kept: Kept, *, data: str) -> str:
    """Say in Markdown what each layer holds, what depth and time are worth, which labels suit.

    Args:
        kept: What was measured.
        data: What the trained stacks' data is called.
    """
    return (
        "**Answer.** A probe reads the hidden regime with accuracy "
        f"{span_of(kept, 'regime_layer_1')} from layer 1 and {span_of(kept, 'regime_layer_2')} "
        f"from layer 2 (before training {span_of(kept, 'regime_layer_2_untrained')}); the upper "
        f"limit is {span_of(kept, 'regime_ceiling')}. From layer 1 to layer 2, R² of the raw past "
        f"falls by {span_of(kept, 'past_lost_by_depth')} on the synthetic task and by "
        f"{span_of(kept, 'data_past_lost_by_depth')} on {data} (below 0, it rises). With the carry "
        f"cut every {CUT} steps, the error of the adding task is "
        f"{span_of(kept, 'error_cut_over_whole')} times as large; one layer with as many weights "
        f"has {span_of(kept, 'error_flat_over_deep')} times the error of two, by seed. From the "
        "last `h`, a head predicts a signal in the last 10 steps with R² "
        f"{span_of(kept, 'r2_signal_near')}, and a signal 90 steps back with "
        f"{span_of(kept, 'r2_signal_far')}. A head at every step predicts the previous input with "
        f"accuracy {span_of(kept, 'accuracy_previous')}, the next one with "
        f"{span_of(kept, 'accuracy_next')}."
    )


def describe_by_layer(evidence: xr.Dataset, measure: str, *, what: str) -> str:
    """Say what ``<measure>_layer_1`` and ``<measure>_layer_2`` are, ``what`` being measured."""
    shown = [
        f"{span(evidence[f'{measure}_layer_{layer}'].values.tolist())} in layer {layer}"
        for layer in (1, 2)
    ]
    return f"{what}: {', '.join(shown)}"
