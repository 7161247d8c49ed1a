"""Record every state and gate of the recurrent layers of a Keras model, exactly.

The public names are loaded on first use, because importing TensorFlow takes seconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_states.acceleration import accelerate, decelerate
    from lstm_states.attribution import record_attributions
    from lstm_states.callbacks import LogStateStatistics, RecordTraces, ResetStates
    from lstm_states.decay import record_decay
    from lstm_states.distances import measure_distances, measure_time_scales
    from lstm_states.fixed_points import find_fixed_points
    from lstm_states.geometry import find_idle_units, measure_principal_directions
    from lstm_states.ledger import measure_memory
    from lstm_states.masks import check_cudnn_mask
    from lstm_states.patching import record_patch_grid
    from lstm_states.probes import probe_states
    from lstm_states.proof.equations import check_traces
    from lstm_states.proof.refusals import TraceError
    from lstm_states.stateful import (
        kept_states,
        load_states,
        make_stateful_batches,
        reset_states,
        save_states,
    )
    from lstm_states.store.store import IncompleteTracesError, open_traces, write_traces
    from lstm_states.streaming.session import StreamingSession
    from lstm_states.summary import (
        measure_half_lives,
        measure_norms,
        measure_saturation,
        measure_states,
    )
    from lstm_states.traces.edit import Edit
    from lstm_states.traces.gradients import record_gradients
    from lstm_states.traces.initial_states import final_states
    from lstm_states.traces.join import join_traces
    from lstm_states.traces.record import record_traces
    from lstm_states.traces.traced_layers import UnsupportedLayerError
    from lstm_states.twins import stateful_twin, stateless_twin, streaming_twin

__version__ = _version("lstm-states")

_HOMES = {
    # record: every state and gate, and how to keep and check them
    "record_traces": "traces.record",
    "record_gradients": "traces.gradients",
    "Edit": "traces.edit",
    "record_patch_grid": "patching",
    "record_attributions": "attribution",
    "RecordTraces": "callbacks",
    "LogStateStatistics": "callbacks",
    "check_traces": "proof.equations",
    "write_traces": "store.store",
    "open_traces": "store.store",
    "join_traces": "traces.join",
    "final_states": "traces.initial_states",
    "measure_states": "summary",
    "measure_saturation": "summary",
    "measure_norms": "summary",
    "measure_half_lives": "summary",
    "record_decay": "decay",
    "measure_distances": "distances",
    "measure_time_scales": "distances",
    "measure_principal_directions": "geometry",
    "find_idle_units": "geometry",
    "probe_states": "probes",
    "measure_memory": "ledger",
    "find_fixed_points": "fixed_points",
    "TraceError": "proof.refusals",
    "IncompleteTracesError": "store.store",
    "UnsupportedLayerError": "traces.traced_layers",
    # stream: step by step, as the inputs come
    "StreamingSession": "streaming.session",
    "streaming_twin": "twins",
    # live states: of stateful layers
    "ResetStates": "callbacks",
    "kept_states": "stateful",
    "load_states": "stateful",
    "make_stateful_batches": "stateful",
    "reset_states": "stateful",
    "save_states": "stateful",
    "stateful_twin": "twins",
    "stateless_twin": "twins",
    # accelerate: the same numbers sooner
    "accelerate": "acceleration",
    "decelerate": "acceleration",
    "check_cudnn_mask": "masks",
}
"""The module of each public name, in four families."""

__all__ = [  # noqa: RUF022 (grouped by what they are for)
    # record
    "record_traces",
    "record_gradients",
    "Edit",
    "record_patch_grid",
    "record_attributions",
    "RecordTraces",
    "LogStateStatistics",
    "check_traces",
    "write_traces",
    "open_traces",
    "join_traces",
    "final_states",
    "measure_states",
    "measure_saturation",
    "measure_norms",
    "measure_half_lives",
    "record_decay",
    "measure_distances",
    "measure_time_scales",
    "measure_principal_directions",
    "find_idle_units",
    "probe_states",
    "measure_memory",
    "find_fixed_points",
    "TraceError",
    "IncompleteTracesError",
    "UnsupportedLayerError",
    # stream
    "StreamingSession",
    "streaming_twin",
    # live states
    "ResetStates",
    "kept_states",
    "load_states",
    "make_stateful_batches",
    "reset_states",
    "save_states",
    "stateful_twin",
    "stateless_twin",
    # accelerate
    "accelerate",
    "decelerate",
    "check_cudnn_mask",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds ``name`` when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # A keras.json that names another backend has no say, only the variable that is set on purpose.
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend != "tensorflow":
        raise ImportError(
            f"lstm_states requires TensorFlow, but KERAS_BACKEND is {backend!r}: set it to "
            "tensorflow before Python starts"
        )
    os.environ["KERAS_BACKEND"] = backend
    with _quiet_start():
        module = import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(module, name)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Hide TensorFlow's start messages; its own setting stops only later ones."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def __dir__() -> list[str]:
    """List the public names before they are loaded."""
    return [*globals(), *__all__]
