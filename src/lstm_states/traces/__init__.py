"""Every state and gate of the LSTM layers of a Keras model, recorded exactly."""

from lstm_states.traces.check import check_traces
from lstm_states.traces.layers import UnsupportedLayerError
from lstm_states.traces.record import TraceError, record_traces
from lstm_states.traces.store import open_traces, write_traces

__all__ = [
    "TraceError",
    "UnsupportedLayerError",
    "check_traces",
    "open_traces",
    "record_traces",
    "write_traces",
]
