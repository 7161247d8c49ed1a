"""Measure whether Keras's loss and metrics count padding."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from experiments.masking.padding import lengths_of
from experiments.shared.evidence import for_each_model
from experiments.shared.stack import double_precision, options, recurrent, run_layers

Loss = str | Callable[[Any, Any], Any]


@for_each_model(
    loss_minus_real=("Loss from evaluate, against real steps alone", "1"),
    metric_minus_real=("Metric in metrics, against real steps alone", "1"),
    weighted_metric_minus_real=("Metric in weighted_metrics, against real steps alone", "1"),
    reshaped_loss_minus_real=("Loss after a Reshape, against real steps alone", "1"),
    own_loss_minus_real=("Mean of squares written as a function, against real steps alone", "1"),
    split_loss_minus_real=("Loss over two batches, against real steps alone", "1"),
)
def measure_losses(model: keras.Model, x: np.ndarray) -> dict[str, float]:
    """Evaluate the top layer's h at every step against 1, and work the same out by hand.

    Args:
        model: A stack, with or without a ``Masking`` layer.
        x: ``(sample, time, feature)``, padded behind with the mask's value.
    """
    real = np.arange(x.shape[1]) < lengths_of(model, x)[:, np.newaxis]
    top = recurrent(model)[-1]
    off = np.asarray(run_layers(model, x)[top.name].sequence - 1)[real]
    squares, sizes = float(np.mean(off**2)), float(np.mean(np.abs(off)))
    with options(top, return_sequences=True), double_precision():
        evaluated = _evaluate(model, x)
        return {
            "loss_minus_real": abs(evaluated["loss"] - squares),
            "metric_minus_real": abs(evaluated["plain"] - sizes),
            "weighted_metric_minus_real": abs(evaluated["weighted"] - sizes),
            "reshaped_loss_minus_real": abs(
                _evaluate(model, x, keras.layers.Reshape((-1, top.units)))["loss"] - squares
            ),
            "own_loss_minus_real": abs(_evaluate(model, x, loss=_mean_square)["loss"] - squares),
            "split_loss_minus_real": abs(_evaluate(model, x, batches=2)["loss"] - squares),
        }


def _evaluate(
    model: keras.Model,
    x: np.ndarray,
    *above: keras.layers.Layer,
    loss: Loss = "mean_squared_error",
    batches: int = 1,
) -> dict[str, float]:
    """Let Keras evaluate a stack without its head, with a layer above it, against 1."""
    below = model.layers[: model.layers.index(recurrent(model)[-1]) + 1]
    target = np.ones((*x.shape[:2], recurrent(model)[-1].units))
    size = -(-len(x) // batches)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*destroy the mask")  # it is what is asked
        stack = keras.Sequential([keras.Input(x.shape[1:]), *below, *above])
        stack.compile(
            loss=loss,
            metrics=[keras.metrics.MeanAbsoluteError("plain")],
            weighted_metrics=[keras.metrics.MeanAbsoluteError("weighted")],
            run_eagerly=True,  # each model is run once: tracing it would take longer
        )
        return stack.evaluate(x, target, batch_size=size, verbose=0, return_dict=True)


def _mean_square(target: Any, predicted: Any) -> Any:
    """Return one number for the whole batch, as people write it."""
    return keras.ops.mean(keras.ops.square(target - predicted))
