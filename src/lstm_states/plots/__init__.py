"""Figures of traces; they need seaborn (the extra ``plots``)."""

from lstm_states.plots.patching import plot_patch_grid
from lstm_states.plots.states import plot_gates, plot_norms, plot_padding, plot_states

__all__ = ["plot_gates", "plot_norms", "plot_padding", "plot_patch_grid", "plot_states"]
