"""What the installed Keras calls things, and when it looks for its fused kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import xarray as xr
from keras.src import backend as _backend

from experiments.shared.evidence import of_installed, refused
from lstm_states.stateful import reset_states


def measure_names(layer: type[keras.layers.LSTM] = keras.layers.LSTM) -> xr.Dataset:
    """Ask the installed Keras where resetting and batch sizes are.

    Args:
        layer: The class of layer to ask.

    Returns:
        0 or 1 each, over ``model``, which has one entry, the installed version.
    """
    shape = (2, None, 3)

    def stateful(*layers: keras.Layer) -> keras.Model:
        return keras.Sequential([keras.Input(batch_shape=shape), *layers])

    single = stateful(layer(4, stateful=True))
    cells = [keras.layers.LSTMCell(4), keras.layers.LSTMCell(3)]
    stacked = stateful(keras.layers.RNN(cells, stateful=True))
    answers: dict[str, tuple[str, Callable[[], Any]]] = {
        "model_resets": ("A model has reset_states", lambda: single.reset_states()),
        "layer_resets": ("A layer has reset_state", lambda: single.layers[0].reset_state()),
        "stacked_cells_reset": (
            "A layer's reset_state works on stacked cells, RNN([cell, cell])",
            lambda: stacked.layers[0].reset_state(),
        ),
        "library_resets": (
            "reset_states(model) of this project works on stacked cells",
            lambda: _all_zero(stacked),
        ),
        "reset_takes_states": (
            "reset_state accepts states=, as documented",
            lambda: single.layers[0].reset_state(states=[np.ones((2, 4))] * 2),
        ),
        "batch_input_shape_taken": (
            "A layer accepts batch_input_shape",
            lambda: layer(4, stateful=True, batch_input_shape=shape),
        ),
        "batch_shape_taken": (
            "keras.Input accepts batch_shape",
            lambda: stateful(layer(4, stateful=True)),
        ),
        "open_batch_taken": (
            "A stateful layer accepts an open batch size",
            lambda: keras.Sequential([keras.Input((None, 3)), layer(4, stateful=True)]),
        ),
    }
    errors = (AttributeError, TypeError, ValueError)
    return of_installed(
        {name: (says, 1 - refused(act, *errors)) for name, (says, act) in answers.items()}
    )


def _all_zero(model: keras.Model) -> None:
    model(np.ones((2, 5, 3)))
    reset_states(model)
    if any(np.any(state.value) for state in keras.tree.flatten(model.layers[0].states)):
        raise ValueError("some state is not zero")


def measure_fused_kernel(layer: type[keras.layers.LSTM] = keras.layers.LSTM) -> xr.Dataset:
    """Count how often a layer asks its backend for the fused kernel, cuDNN's on a GPU.

    Without a GPU the backend says each time that it has none, and the layer takes its loop.

    Args:
        layer: The class of layer to ask.

    Returns:
        Numbers of times, over ``model``, which has one entry, the installed version.
    """
    x = np.ones((2, 3, 4), "float32")

    def asked(**options: float) -> float:
        made = layer(5, **options)
        with _counted() as calls:
            made(x, training=True)
        return float(len(calls))

    return of_installed(
        {
            "asked_plain": ("Times that a plain LSTM asks for the fused kernel", asked()),
            "asked_with_dropout": (
                "Times that an LSTM with dropout asks for it",
                asked(dropout=0.2),
            ),
            "asked_with_recurrent_dropout": (
                "Times that an LSTM with recurrent_dropout asks for it",
                asked(recurrent_dropout=0.2),
            ),
        }
    )


@contextmanager
def _counted() -> Iterator[list[None]]:
    """Count the calls of Keras's ``backend.lstm``, which still does what it does."""
    calls: list[None] = []
    original = _backend.lstm

    def counting(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        return original(*arguments, **options)

    _backend.lstm = counting
    try:
        yield calls
    finally:
        _backend.lstm = original
