"""Real data for the experiments: obtained, checked, processed, and cut into samples."""

from lstm_states.datasets.prepare import prepare_dataset
from lstm_states.datasets.samples import load_sequences, load_windows

__all__ = ["load_sequences", "load_windows", "prepare_dataset"]
