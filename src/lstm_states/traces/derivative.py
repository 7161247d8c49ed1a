"""Derivatives of a model's output with respect to the values of its recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from lstm_states.cells.kind import Values
from lstm_states.kernels.scan import CellRun
from lstm_states.traces.intercept import Call

Output = Callable[..., tf.Tensor]
"""Makes of a model's outputs, and of targets if there are any, one number per sample."""


def only_number(outputs: Any, *_: Any) -> tf.Tensor:
    """Return the model's only output as ``(sample,)`` if it is one number per sample.

    Raises:
        ValueError: if it isn't.
    """
    shapes = [tuple(values.shape) for values in keras.tree.flatten(outputs)]
    if len(shapes) != 1 or shapes[0][1:] not in {(), (1,)}:
        raise ValueError(
            f"the model's outputs have shapes {shapes}, not one number per sample; choose one with "
            "output=, for example output=lambda y: y[:, -1, 0]"
        )
    return tf.reshape(keras.tree.flatten(outputs)[0], (-1,))


def compiled_loss(model: keras.Model) -> Output:
    """Return what makes of outputs, targets and sample weights the loss of each sample.

    It is the loss that ``model.evaluate`` gives for a batch that holds this sample alone, but for
    penalties that layers add.

    Raises:
        ValueError: if ``model`` isn't compiled with a loss, or computes it in its own way.
    """
    instead = "pass a function instead: output=lambda outputs, y: ..."
    if type(model).compute_loss is not keras.Model.compute_loss:
        raise ValueError(f"model {model.name!r} overrides compute_loss; {instead}")
    compiled = getattr(model, "_compile_loss", None) if model.compiled else None
    if compiled is None:
        raise ValueError(
            f"model {model.name!r} is not compiled with a loss; compile it, or {instead}"
        )
    # One of our own: the model's keeps averages.
    config = model._compile_config.config
    names = getattr(model, "output_names", None)
    loss = type(compiled)(config["loss"], config["loss_weights"], output_names=names)

    def of_each(outputs: Any, *targets: Any) -> tf.Tensor:
        if not targets:
            raise ValueError("output='loss' needs targets, but the batches of x hold none")
        y, weight = (*targets, None)[:2]
        samples = range(keras.tree.flatten(outputs)[0].shape[0])
        rows = [[_sample(number, part) for part in (y, outputs, weight)] for number in samples]
        return tf.stack([loss(*row) for row in rows])

    return of_each


def _sample(number: int, nested: Any) -> Any:
    """Return a batch of one sample of tensors, with its mask where they have one."""

    def cut(values: Any) -> Any:
        if values is None:
            return None
        one = values[number : number + 1]
        if (mask := getattr(values, "_keras_mask", None)) is not None:
            one._keras_mask = mask[number : number + 1]
        return one

    return keras.tree.map_structure(cut, nested)


def one_each(name: str, returned: Any, samples: int) -> tf.Tensor:
    """Return what a user's function has ``returned`` as ``(sample,)``.

    Raises:
        ValueError: if it isn't one floating-point number for each sample; it calls the function
            ``name``.
    """
    chosen = tf.convert_to_tensor(returned)
    if not chosen.dtype.is_floating or tuple(chosen.shape) != (samples,):
        raise ValueError(
            f"{name} returns {chosen.dtype.name} of shape {tuple(chosen.shape)} for {samples} "
            f"samples; it must return one floating-point number per sample, shape ({samples},), "
            f"for example {name}=lambda y: y[:, 0]"
        )
    return chosen


def choose(
    output: Output, outputs: Any, targets: tuple[Any, ...]
) -> tuple[tf.Tensor, list[tf.Tensor | None]]:
    """Return what ``output`` makes of the model's ``outputs``, and its derivatives by them, flat.

    Raises:
        ValueError: if it isn't one floating-point number for each sample.
    """
    flat = keras.tree.flatten(outputs)
    samples = flat[0].shape[0]
    with tf.GradientTape() as tape:
        tape.watch([values for values in flat if values.dtype.is_floating])
        chosen = one_each("output", output(outputs, *targets), samples)
    found = tape.gradient(chosen, [v if v.dtype.is_floating else tf.zeros(()) for v in flat])
    return chosen, [None if g is None else tf.convert_to_tensor(g) for g in found]


def differentiate(
    outputs: list[tf.Tensor], upstream: list[tf.Tensor | None], calls: Mapping[str, list[Call]]
) -> dict[str, list[Call]]:
    """Put derivatives of the numbers chosen in the place of what the calls recorded.

    The derivative by a quantity is the one by zeros that were added to it where it arose. All are
    found in one backward pass: as no sample depends on another, the gradient of the sum over the
    samples holds each sample's own.

    Args:
        outputs: The model's outputs, flat.
        upstream: Of each, the derivative of the numbers chosen by it, None if none depends on it.
        calls: Differentiable calls by the address of their layer.

    Returns:
        The calls with derivatives by the quantities as ``parts``, NaN where no gate ran, by the
        ``inputs``, and by the initial states as the only ``ends``.

    Raises:
        ValueError: if the numbers depend on none of the layers.
    """
    by = {
        address: [(call.added, call.ends["initial"], _floating(call.inputs)) for call in own]
        for address, own in calls.items()
    }
    variables = keras.tree.flatten(by)
    through = [(o, u) for o, u in zip(outputs, upstream, strict=True) if u is not None]
    found = tf.gradients([o for o, _ in through], variables, [u for _, u in through])
    if all(gradient is None for gradient in found):
        raise ValueError(f"output depends on none of the layers {list(calls)}")
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
                inputs=inputs,
            )
            for call, (parts, start, inputs) in zip(own, derivatives[address], strict=True)
        ]
        for address, own in calls.items()
    }


def _floating(inputs: list[tf.Tensor]) -> list[tf.Tensor]:
    """Return what cells were given, and zeros for what has no derivative, such as tokens."""
    return [
        given if given.dtype.is_floating else tf.zeros_like(given, keras.backend.floatx())
        for given in inputs
    ]


def _derivative(run: CellRun, derivatives: Values) -> CellRun:
    """Return derivatives in the place of what ``run`` holds, NaN where no gate ran."""
    return CellRun(
        {
            name: tf.where(tf.math.is_nan(run.values[name]), run.values[name], derivative)
            for name, derivative in derivatives.items()
        }
    )
