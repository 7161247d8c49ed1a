"""How hidden states are handled in a stacked LSTM: every state and gate, recorded exactly.

The public names are loaded on first use, because TensorFlow takes seconds to import.
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
    from lstm_states.builders import (
        build_encoder_decoder,
        build_intermediate_outputs,
        build_stacked,
        build_variable_length,
        describe_layers,
    )
    from lstm_states.callbacks import LogStateStatistics, RecordTraces, ResetStates
    from lstm_states.masks import check_cudnn_mask
    from lstm_states.states import (
        kept_states,
        load_states,
        make_stateful_batches,
        reset_states,
        save_states,
        stateful_twin,
        stateless_twin,
    )
    from lstm_states.traces import (
        IncompleteTracesError,
        StreamingSession,
        TraceError,
        UnsupportedLayerError,
        check_traces,
        final_states,
        open_traces,
        record_gradients,
        record_traces,
        write_traces,
    )
    from lstm_states.training import (
        ProgressLine,
        fit_seeds,
        make_deterministic,
        predict_test,
        save_model,
        typical_seed,
    )

__version__ = _version("lstm-states")

_HOMES = {
    "accelerate": "acceleration",
    "decelerate": "acceleration",
    "build_encoder_decoder": "builders",
    "build_intermediate_outputs": "builders",
    "build_stacked": "builders",
    "describe_layers": "builders",
    "build_variable_length": "builders",
    "ProgressLine": "training",
    "predict_test": "training",
    "fit_seeds": "training",
    "make_deterministic": "training",
    "save_model": "training",
    "typical_seed": "training",
    "LogStateStatistics": "callbacks",
    "RecordTraces": "callbacks",
    "ResetStates": "callbacks",
    "check_cudnn_mask": "masks",
    "kept_states": "states",
    "load_states": "states",
    "make_stateful_batches": "states",
    "reset_states": "states",
    "save_states": "states",
    "stateful_twin": "states",
    "stateless_twin": "states",
    "IncompleteTracesError": "traces",
    "StreamingSession": "traces",
    "TraceError": "traces",
    "UnsupportedLayerError": "traces",
    "check_traces": "traces",
    "final_states": "traces",
    "open_traces": "traces",
    "record_gradients": "traces",
    "record_traces": "traces",
    "write_traces": "traces",
}

__all__ = [  # noqa: RUF022 (grouped by what they are for)
    "build_encoder_decoder",
    "build_intermediate_outputs",
    "build_stacked",
    "build_variable_length",
    "describe_layers",
    "ProgressLine",
    "predict_test",
    "fit_seeds",
    "make_deterministic",
    "save_model",
    "typical_seed",
    "accelerate",
    "decelerate",
    "LogStateStatistics",
    "RecordTraces",
    "ResetStates",
    "check_cudnn_mask",
    "kept_states",
    "load_states",
    "make_stateful_batches",
    "reset_states",
    "save_states",
    "stateful_twin",
    "stateless_twin",
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


def __getattr__(name: str) -> Any:
    """Import the module that holds ``name`` when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _quiet_start():
        module = import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(module, name)


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep TensorFlow's greetings out of notebooks; its own setting stops only what comes later."""
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
