"""Every state and gate of a model that knows nothing of this package."""

import keras
import numpy as np

from lstm_states import check_traces, record_traces

backwards_too = keras.layers.Bidirectional(keras.layers.LSTM(8, return_sequences=True), name="both")
model = keras.Sequential([keras.Input((50, 3)), backwards_too, keras.layers.GRU(4, name="top")])
traces = record_traces(model, np.random.default_rng(0).normal(size=(16, 50, 3)))
print(traces["both/backward/forget_gate"].mean(["sample", "unit"]))
print(check_traces(traces).to_dataframe())
