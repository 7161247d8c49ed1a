"""How hidden states are handled in a stacked LSTM: this repository's experiments, a folder each."""
