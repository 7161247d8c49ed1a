"""Word the answer from the measured values."""

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
    epochs = (
        "Keras resets nothing between epochs"
        if carried
        else "Something changes the state in between"
    )
    return (
        f"**Answer.** {_borne_out(kept)} The state after two epochs of `fit` differs from that "
        f"after running the data twice by {span_of(kept, 'epochs_minus_carried')}. {epochs}. "
        f"`evaluate` moves a live state by {span_of(kept, 'evaluate_moves')}, `predict` by "
        f"{span_of(kept, 'predict_moves')}. Before the border of two batches, the gradient is "
        f"{span_of(kept, 'gradient_before_stateful')}; after loading a `.keras` file, the largest "
        f"state is {span_of(kept, 'state_reloaded')}. With states passed on layer by layer, in "
        "pieces, one step at a time or with another batch size, the results of the same stack "
        f"differ by {span_of(kept, *WHOLE)}."
    )


def _borne_out(kept: Kept) -> str:
    held = hold_against(ANSWERS, kept)
    departing = [f"{one.says} ({one.found})" for one in held if one.departs]
    if not departing:
        return f"All {len(held)} measures confirm the answers under the headings."
    return (
        f"{len(departing)} of {len(held)} measures do not confirm the answers under the headings: "
        f"{'; '.join(departing)}."
    )
