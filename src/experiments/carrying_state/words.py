"""The answer, worded from what was measured."""

from __future__ import annotations

from experiments.carrying_state.answers import ANSWERS
from experiments.shared.evidence import MOVED, Kept, span_of, values_of
from notebook_pipeline.expectations import hold_against

WHOLE = (
    "handed_minus_whole_stack", "continued_minus_whole", "session_minus_whole", "twin_minus_model",
)  # fmt: skip
"""What handing states over right, in pieces, by steps or to another batch size changes."""


def answer(kept: Kept) -> str:
    """Say in Markdown whether the answers below hold in this run, and its main numbers."""
    carried = all(abs(value) <= MOVED for value in values_of(kept, "epochs_minus_carried"))
    epochs = "Keras resets nothing between epochs" if carried else "Something happens in between"
    return (
        f"**Answer.** {_borne_out(kept)} Two epochs of `fit` leave a state that differs from that "
        f"of the data run twice in a row by {span_of(kept, 'epochs_minus_carried')}. {epochs}. "
        f"`evaluate` moves a live state by {span_of(kept, 'evaluate_moves')}, `predict` by "
        f"{span_of(kept, 'predict_moves')}. Before the border of two batches the gradient is "
        f"{span_of(kept, 'gradient_before_stateful')}; after a `.keras` file is loaded the largest "
        f"state is {span_of(kept, 'state_reloaded')}. Handed over layer by layer, in pieces, one "
        "step at a time or with another batch size, the same stack gives the same numbers but for "
        f"{span_of(kept, *WHOLE)}."
    )


def _borne_out(kept: Kept) -> str:
    held = hold_against(ANSWERS, kept)
    departing = [f"{one.says} ({one.found})" for one in held if one.departs]
    if not departing:
        return f"The answers under the headings hold here: all {len(held)} measures bear them out."
    return (
        f"Of {len(held)} measures behind the answers under the headings, {len(departing)} don't "
        f"bear them out here: {'; '.join(departing)}."
    )
