"""Every state and gate of the LSTM layers of a Keras model, recorded exactly."""

from lstm_states.traces.check import check_traces
from lstm_states.traces.gradients import record_gradients
from lstm_states.traces.layers import UnsupportedLayerError
from lstm_states.traces.proof import TraceError
from lstm_states.traces.record import record_traces
from lstm_states.traces.session import StreamingSession
from lstm_states.traces.states import final_states
from lstm_states.traces.store import IncompleteTracesError, open_traces, write_traces

__all__ = [
    "IncompleteTracesError",
    "StreamingSession",
    "TraceError",
    "UnsupportedLayerError",
    "check_traces",
    "final_states",
    "open_traces",
    "record_gradients",
    "record_traces",
    "write_traces",
]
