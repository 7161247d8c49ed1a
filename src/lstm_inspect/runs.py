"""Run the model as Keras runs it, from states of zero, and leave it as it was."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import xarray as xr

from lstm_inspect.given import Given
from lstm_states.layers import recurrent_layers
from lstm_states.stateful import kept_states, reset_states
from lstm_states.traces.record import record_traces
from lstm_states.traces.traced_layers import supported_layers


@contextmanager
def states_of_zero(model: keras.Model) -> Iterator[None]:
    """Let stateful layers start from zero, and give them back what they carried."""
    if not any(layer.stateful for _, layer in recurrent_layers(model)):
        yield
        return
    with kept_states(model):
        reset_states(model)
        yield


def record(given: Given) -> xr.DataTree:
    """Record all layers that can be recorded; the reasons of the others stay in the tree.

    Raises:
        ValueError: if none can.
    """
    layers = list(supported_layers(given.model))
    if not layers:
        raise ValueError(f"no recurrent layer of model {given.model.name!r} can be recorded")
    with states_of_zero(given.model), told_in_the_report():
        return record_traces(given.model, given.x, mask=given.mask, layers=layers)


def outputs_of(given: Given, *, batch_size: int | None = None) -> list[np.ndarray]:
    """Return what the model gives, each output by itself."""
    layers = list(supported_layers(given.model))
    with told_in_the_report():
        traces = record_traces(
            given.model,
            given.x,
            mask=given.mask,
            layers=layers[:1],
            quantities="hidden",
            batch_size=given.slots or batch_size,
        )
    return outputs_in(traces)


def outputs_in(traces: xr.DataTree) -> list[np.ndarray]:
    """Return the model's outputs that a tree holds, each by itself."""
    root = traces.to_dataset()
    return [own.values for name, own in root.data_vars.items() if str(name).startswith("outputs")]


@contextmanager
def told_in_the_report() -> Iterator[None]:
    """Silence what the library warns of, such as NaN: rules read it from the tree."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
