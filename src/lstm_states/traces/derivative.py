"""Derivatives of a number that a model gives by everything its recurrent layers did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from lstm_states.kernels.cells import CellRun, Values
from lstm_states.traces.intercept import Call

Output = Callable[[Any], tf.Tensor]
"""Makes of a model's outputs one number per sample, ``(sample,)``."""


def only_number(outputs: Any) -> tf.Tensor:
    """Return the model's only output as ``(sample,)`` if it is one number per sample.

    Raises:
        ValueError: if it isn't.
    """
    shapes = [tuple(values.shape) for values in keras.tree.flatten(outputs)]
    if len(shapes) != 1 or shapes[0][1:] not in {(), (1,)}:
        raise ValueError(
            f"the model's outputs have shapes {shapes}, not one number per sample; say which with "
            "output=, for example output=lambda y: y[:, -1, 0]"
        )
    return tf.reshape(keras.tree.flatten(outputs)[0], (-1,))


def choose(output: Output, outputs: Any, samples: int | None) -> tf.Tensor:
    """Return what ``output`` makes of the model's ``outputs``.

    Raises:
        ValueError: if it isn't one floating-point number for each of the ``samples``.
    """
    chosen = tf.convert_to_tensor(output(outputs))
    if not chosen.dtype.is_floating or not chosen.shape.is_compatible_with([samples]):
        raise ValueError(
            f"output gives {chosen.dtype.name} of shape {tuple(chosen.shape)} for {samples} "
            f"samples; it must give one floating-point number per sample, shape ({samples},), for "
            "example output=lambda y: y[:, 0]"
        )
    return chosen


def differentiate(chosen: tf.Tensor, calls: Mapping[str, list[Call]]) -> dict[str, list[Call]]:
    """Put derivatives of ``chosen (sample,)`` in the place of what the calls recorded.

    The derivative by a quantity is the one by zeros that were added to it where it arose. All are
    found in one backward pass: as no sample depends on another, the gradient of the sum over the
    samples holds each sample's own.

    Args:
        chosen: One number for each sample of the batch.
        calls: Differentiable calls by the address of their layer.

    Returns:
        The calls with derivatives by the quantities as ``parts``, NaN where no gate ran, and by
        the initial states as the only ``ends``.

    Raises:
        ValueError: if ``chosen`` depends on none of the layers.
    """
    by = {a: [(call.added, call.ends["initial"]) for call in own] for a, own in calls.items()}
    variables = keras.tree.flatten(by)
    found = tf.gradients(chosen, variables)
    if all(gradient is None for gradient in found):
        raise ValueError(f"output gives a number that depends on none of the layers {list(calls)}")
    filled = [
        tf.zeros_like(variable) if gradient is None else gradient
        for variable, gradient in zip(variables, found, strict=True)
    ]
    derivatives = keras.tree.pack_sequence_as(by, filled)
    return {
        address: [
            replace(
                call,
                parts=[
                    [_derivative(*pair) for pair in zip(runs, own_parts, strict=True)]
                    for runs, own_parts in zip(call.parts, parts, strict=True)
                ],
                ends={"initial": start},
            )
            for call, (parts, start) in zip(own, derivatives[address], strict=True)
        ]
        for address, own in calls.items()
    }


def _derivative(run: CellRun, derivatives: Values) -> CellRun:
    """Return derivatives in the place of what ``run`` holds, NaN where no gate ran."""
    return CellRun(
        {
            name: tf.where(tf.math.is_nan(run.values[name]), run.values[name], derivative)
            for name, derivative in derivatives.items()
        }
    )
