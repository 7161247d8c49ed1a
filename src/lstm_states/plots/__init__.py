"""Figures of traces; they need seaborn (the extra ``plots``)."""

from lstm_states.plots.states import plot_gates, plot_norms, plot_padding, plot_states

__all__ = ["plot_gates", "plot_norms", "plot_padding", "plot_states"]
