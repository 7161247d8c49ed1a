"""Measure which masks cuDNN accepts, by Keras's own check, without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import keras
import numpy as np
import tensorflow as tf
import xarray as xr
from keras.src.backend.tensorflow.rnn import _assert_valid_mask

from experiments.shared.evidence import as_evidence, refused
from experiments.shared.stack import distance, double_precision, randomise
from lstm_states.masks import check_cudnn_mask

MASKS = {
    "no padding": np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]], bool),
    "behind": np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], bool),
    "before": np.array([[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1]], bool),
    "both sides": np.array([[1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0]], bool),
    "a gap": np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 1, 1]], bool),
    "an empty row": np.array([[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]], bool),
}
"""A mask of each kind, ``(sample, time)``, true where a step is real."""

FEATURES = 2

Check = Callable[[np.ndarray], None]


def keras_check(mask: np.ndarray) -> None:
    """Ask Keras what it asks of a mask before it calls cuDNN.

    Raises:
        ValueError: if Keras would stop.
    """
    try:
        _assert_valid_mask(tf.constant(mask))
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(str(error)) from error


def measure_cudnn(masks: Mapping[str, np.ndarray], check: Check = keras_check) -> xr.Dataset:
    """Ask of each mask whether cuDNN takes it, and run it on the CPU.

    Args:
        masks: By kind, each ``(sample, time)``.
        check: Raises a ValueError for what cuDNN doesn't take.

    Returns:
        Over ``model``, which are the kinds: ``taken_by_cudnn``, ``passes_our_check`` and
        ``checks_agree`` (0 or 1), and ``cpu_minus_bare``, how far a layer's last ``h`` on the CPU
        is from that of the real steps alone.
    """
    with double_precision():
        model = keras.Sequential([keras.Input((None, FEATURES)), keras.layers.LSTM(3)])
    randomise(model, seed=0)
    rows = {
        kind: {
            "taken_by_cudnn": 1 - refused(partial(check, mask), ValueError),
            "passes_our_check": 1 - refused(partial(check_cudnn_mask, mask), ValueError),
            "cpu_minus_bare": _cpu_minus_bare(model.layers[0], mask),
        }
        for kind, mask in masks.items()
    }
    for row in rows.values():
        row["checks_agree"] = float(row["taken_by_cudnn"] == row["passes_our_check"])
    return as_evidence(
        rows,
        {
            "taken_by_cudnn": ("Keras's own check passes the mask to cuDNN", "1"),
            "passes_our_check": ("check_cudnn_mask accepts the mask", "1"),
            "checks_agree": ("Keras's own check and check_cudnn_mask agree", "1"),
            "cpu_minus_bare": (
                "On the CPU: last h with this mask against the real steps alone",
                "1",
            ),
        },
    )


def _cpu_minus_bare(layer: keras.layers.LSTM, mask: np.ndarray) -> float:
    x = np.random.default_rng(0).normal(size=(*mask.shape, FEATURES))
    masked = np.asarray(layer(x, mask=tf.constant(mask)))
    # No step at all leaves the states they start from, zeros.
    bare = [
        layer(row[real][np.newaxis])[0] if real.any() else np.zeros(layer.units)
        for row, real in zip(x, mask, strict=True)
    ]
    return distance(masked, bare)
