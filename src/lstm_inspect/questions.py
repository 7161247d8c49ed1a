"""The answers of docs/questions.md that findings name: a report is read without the documents."""

from __future__ import annotations

ANSWERS = {
    "Do `evaluate` and `predict` move the state?": "yes; validation in `fit` does, too",
    "Does a decoder that starts from states skip its padding?": (
        "no: Keras 3 passes no automatic mask to a layer with `initial_state`; pass `mask=` "
        '(`node["mask"]` shows the mask that arrives)'
    ),
    "How is the batch size related to statefulness?": (
        "row i continues row i of the batch before, with `shuffle=False`"
    ),
    "What happens to a last short batch?": (
        "Keras silently spreads a single row over all slots; other remainders fail"
    ),
    "What is the output at masked steps?": (
        "the last real output; zeros before the first real step"
    ),
    "When should you use `stateful`?": "only if each batch continues the one before",
    "Which masks does cuDNN accept?": "padding at the end, no empty rows",
    "Which states does a bidirectional layer return?": (
        "the output, forward h and c, backward h and c; the backward h belongs to the first step"
    ),
    "Why is `recurrent_dropout` slow?": "it prevents the fused kernel",
}
"""Word for word, by the question."""
