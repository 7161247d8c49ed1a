"""Figures of traces; they need seaborn, which the extra ``plots`` installs."""

from lstm_states.plots.states import plot_gates, plot_norms, plot_padding, plot_states

__all__ = ["plot_gates", "plot_norms", "plot_padding", "plot_states"]
