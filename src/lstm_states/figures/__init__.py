"""One figure per idea, each from a labelled data set, all in one style.

Every function returns a closed Figure: Jupyter shows it once, where it is the last expression.
"""

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
    "plot_by_step",
    "plot_confusion",
    "plot_evidence",
    "plot_forecast",
    "plot_gates",
    "plot_learning_curves",
    "plot_lengths",
    "plot_norms",
    "plot_padding",
    "plot_results",
    "plot_series",
    "plot_states",
]
