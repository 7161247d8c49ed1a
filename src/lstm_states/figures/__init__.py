"""One figure per idea, each from a labelled data set, all in one style.

Every function returns a closed Figure: Jupyter shows it once, where it is the last expression.
"""

from lstm_states.figures.carrying_state import plot_border_gradients
from lstm_states.figures.claims import plot_rule
from lstm_states.figures.cost import plot_counted, plot_taken
from lstm_states.figures.depth import plot_fading, plot_seeds
from lstm_states.figures.masking import plot_encodings, plot_handover, plot_masks
from lstm_states.figures.memory import plot_errors, plot_recall, plot_slopes
from lstm_states.figures.results import (
    plot_by_step,
    plot_confusion,
    plot_forecast,
    plot_learning_curves,
    plot_lengths,
    plot_results,
    plot_series,
)
from lstm_states.figures.states import plot_gates, plot_norms, plot_padding, plot_states
from lstm_states.figures.trials import FLOOR, plot_arrows, plot_evidence

__all__ = [
    "FLOOR",
    "plot_arrows",
    "plot_border_gradients",
    "plot_by_step",
    "plot_confusion",
    "plot_counted",
    "plot_encodings",
    "plot_errors",
    "plot_evidence",
    "plot_fading",
    "plot_forecast",
    "plot_gates",
    "plot_handover",
    "plot_learning_curves",
    "plot_lengths",
    "plot_masks",
    "plot_norms",
    "plot_padding",
    "plot_recall",
    "plot_results",
    "plot_rule",
    "plot_seeds",
    "plot_series",
    "plot_slopes",
    "plot_states",
    "plot_taken",
]
