"""Measure which layers pass a mask on to the next layer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import xarray as xr
from keras.src.backend import get_keras_mask

from experiments.shared.evidence import as_evidence

Part = Callable[[Any], Any]
"""What stands between two layers: from a tensor ``(sample, time, feature)`` to a tensor."""

WIDTH = 4
"""Features of the sequence that is handed on."""


class Own(keras.layers.Layer):
    """A layer of one's own that says nothing of masks."""

    def call(self, inputs: Any) -> Any:
        """Return ``inputs`` times 2."""
        return 2 * inputs


class OwnMasked(Own):
    """The same with the one line that hands masks on."""

    def __init__(self, **options: Any) -> None:
        """Say that a mask passes through."""
        super().__init__(**options)
        self.supports_masking = True


def _two(layer: keras.layers.Layer) -> Part:
    return lambda tensor: layer([tensor, tensor])


def make_parts() -> dict[str, Part]:
    """Return what people put between the layers of a stack, by name."""
    layers = keras.layers
    return {
        "LSTM with return_sequences": layers.LSTM(WIDTH, return_sequences=True),
        "Bidirectional(LSTM)": layers.Bidirectional(layers.LSTM(WIDTH, return_sequences=True)),
        "Dense": layers.Dense(WIDTH),
        "TimeDistributed(Dense)": layers.TimeDistributed(layers.Dense(WIDTH)),
        "Dropout": layers.Dropout(0.1),
        "Activation": layers.Activation("relu"),
        "LayerNormalization": layers.LayerNormalization(),
        "BatchNormalization": layers.BatchNormalization(),
        "Add": _two(layers.Add()),
        "Concatenate": _two(layers.Concatenate()),
        "own layer, supports_masking = True": OwnMasked(),
        "Reshape": layers.Reshape((-1, WIDTH)),
        "Flatten": layers.Flatten(),
        "Permute": layers.Permute((2, 1)),
        "Conv1D": layers.Conv1D(WIDTH, 1),
        "Lambda": layers.Lambda(lambda tensor: 2 * tensor),
        "own layer": Own(),
        "LSTM without return_sequences": layers.LSTM(WIDTH),
        "an operator, a + b": lambda tensor: tensor + tensor,
    }


def measure_handover(parts: Mapping[str, Part]) -> xr.Dataset:
    """Give each part a masked sequence and see whether what comes out has a mask.

    Args:
        parts: By name, such as :func:`make_parts` returns.

    Returns:
        Over ``model``, which are the parts: ``mask_handed_on`` and ``warned`` (0 or 1), whether
        Keras warned of a mask that was lost.
    """
    x = np.ones((2, 3, WIDTH), np.float32)
    x[:, 2] = 0
    rows = {}
    for name, part in parts.items():
        masked = keras.layers.Masking()(x)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            out = part(masked)
        lost = any("mask" in str(warning.message) for warning in warned)
        rows[name] = {"mask_handed_on": get_keras_mask(out) is not None, "warned": lost}
    return as_evidence(
        rows,
        {
            "mask_handed_on": ("The layer passes the mask on", "1"),
            "warned": ("Keras warns that the mask is lost", "1"),
        },
    )
