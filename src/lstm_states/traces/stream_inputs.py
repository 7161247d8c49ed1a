"""What a model takes, step by step: checks of shapes, and random values that fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class StreamInputs:
    """The inputs of a model whose number of time steps is free.

    Args:
        structure: The model's ``keras.Input``, or several nested as the model takes them.
        samples: Number of sequences side by side.
        tokens: How many values an integer input may have, so that every Embedding knows them.
    """

    structure: Any
    samples: int
    tokens: int | None

    def tensors(self, x: Any) -> Any:
        """Return ``x``, arrays ``(sample, time, ...)``, as tensors of the types the model takes.

        Raises:
            ValueError: naming the shape given and the one that would be right.
        """
        expected, given = (keras.tree.flatten(part) for part in (self.structure, x))
        if len(expected) != len(given) or isinstance(x, dict) != isinstance(self.structure, dict):
            names = [spec.name for spec in expected]
            raise ValueError(
                f"x holds {len(given)} arrays; the model takes {len(expected)}, {names}, nested as "
                "its inputs are"
            )
        arrays = [
            _check(spec, array, self.samples) for spec, array in zip(expected, given, strict=True)
        ]
        if len(lengths := {array.shape[1] for array in arrays}) != 1:
            raise ValueError(f"the inputs have {sorted(lengths)} steps; they must have as many")
        return keras.tree.pack_sequence_as(self.structure, arrays)

    def mask(self, mask: Any, steps: int) -> tf.Tensor | None:
        """Return ``mask (sample, time)`` as a tensor.

        Raises:
            ValueError: naming the shape given and the one that would be right.
        """
        if mask is None:
            return None
        inputs = len(keras.tree.flatten(self.structure))
        if np.shape(mask) != (self.samples, steps) or inputs != 1:
            raise ValueError(
                f"mask has shape {np.shape(mask)} for {inputs} inputs; it must be "
                f"{(self.samples, steps)}, (sample, time), for one input"
            )
        return tf.convert_to_tensor(np.asarray(mask, bool))

    def random(self, steps: int, rng: np.random.Generator) -> Any:
        """Return random values for ``steps`` time steps, no two of them alike but tokens."""

        def draw(spec: keras.KerasTensor) -> tf.Tensor:
            shape = (self.samples, steps, *spec.shape[2:])
            whole = keras.backend.is_int_dtype(spec.dtype) or spec.dtype == "bool"
            if whole or (self.tokens and len(shape) == 2):
                return tf.cast(rng.integers(0, self.tokens or 2, shape), spec.dtype)
            return tf.cast(rng.normal(size=shape), spec.dtype)

        return keras.tree.map_structure(draw, self.structure)


def stream_inputs(model: keras.Model, samples: int) -> StreamInputs:
    """Return what ``model`` takes.

    Raises:
        ValueError: if an input has no free number of steps or another number of samples; it names
            the input, its shape and one that would be right.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}; it must be at least 1")
    # A Sequential model holds a functional one.
    structure = getattr(getattr(model, "_functional", None) or model, "_inputs_struct", None)
    if structure is None:
        raise ValueError(
            f"model {model.name!r} has no keras.Input that says what it takes; wrap it: "
            "keras.Model(inputs, model(inputs)) with inputs = keras.Input((None, features))"
        )
    for spec in keras.tree.flatten(structure):
        _check_spec(spec, samples)
    sizes = [getattr(layer, "input_dim", None) for layer in model._flatten_layers()]
    return StreamInputs(structure, samples, min((n for n in sizes if n), default=None))


def _check_spec(spec: keras.KerasTensor, samples: int) -> None:
    shape = tuple(spec.shape)
    if shape[0] not in (None, samples):
        raise ValueError(
            f"input {spec.name!r} has shape {shape}, so samples must be {shape[0]}, not {samples}"
        )
    if len(shape) < 2 or shape[1] is not None:
        right = (None, *shape[2:])
        raise ValueError(
            f"input {spec.name!r} has shape {shape}; a stream takes any number of steps: build the "
            f"model with keras.Input({right}), its weights fit"
        )
    if None in shape[2:] or spec.dtype == "string":
        raise ValueError(
            f"input {spec.name!r} has shape {shape} and holds {spec.dtype}; a stream takes numbers "
            "(sample, time, ...) whose sizes after time are known"
        )


def _check(spec: keras.KerasTensor, array: Any, samples: int) -> tf.Tensor:
    values = array if isinstance(array, tf.Tensor) else np.asarray(array)
    inner = tuple(spec.shape[2:])
    fits = len(values.shape) == len(spec.shape) and values.shape[0] == samples
    if not fits or tuple(values.shape[2:]) != inner or not values.shape[1]:
        raise ValueError(
            f"input {spec.name!r} is given {tuple(values.shape)}; it takes {samples} samples, at "
            f"least 1 step and then {inner}"
        )
    return tf.cast(tf.convert_to_tensor(values), spec.dtype)
