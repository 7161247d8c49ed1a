"""Check the shapes of a model's inputs step by step, and draw random inputs."""

from __future__ import annotations

from collections.abc import Mapping
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

    def tensors(self, x: Any, *, one_step: bool = False) -> Any:
        """Return ``x`` as tensors ``(sample, time, ...)`` of the types the model takes.

        Args:
            x: Numbers ``(sample, time, ...)`` in arrays or lists, nested as the model takes them.
            one_step: Whether ``x`` is without its axis of time.

        Raises:
            ValueError: naming what is given and what would be right.
        """
        specs = keras.tree.flatten(self.structure)
        given = self._flat(x, len(specs[0].shape) - one_step)
        arrays = [
            _check(spec, values, self.samples, one_step)
            for spec, values in zip(specs, given, strict=True)
        ]
        if len(lengths := {array.shape[1] for array in arrays}) != 1:
            raise ValueError(f"the inputs have {sorted(lengths)} steps; all must have the same")
        return keras.tree.pack_sequence_as(self.structure, arrays)

    def _flat(self, x: Any, rank: int) -> list[Any]:
        """Return what is given for each input; a list may be the numbers themselves."""
        specs = keras.tree.flatten(self.structure)
        if len(specs) == 1 and not isinstance(x, Mapping):
            wrapped = isinstance(x, list | tuple) and len(x) == 1 and _rank(x[0]) == rank
            return [x[0] if wrapped else x]
        flat: list[Any] = []
        try:
            keras.tree.map_structure_up_to(
                self.structure, lambda _, part: flat.append(part), self.structure, x
            )
        except (TypeError, ValueError) as error:
            given = sorted(map(str, x)) if isinstance(x, Mapping) else f"a {type(x).__name__}"
            raise ValueError(
                f"x is {given}; the model expects {len(specs)} inputs, "
                f"{[spec.name for spec in specs]}, nested like its own inputs"
            ) from error
        return flat

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
    if not isinstance(samples, int | np.integer) or isinstance(samples, bool) or samples < 1:
        raise ValueError(f"samples is {samples!r}; it must be a whole number of at least 1")
    # A Sequential model holds a functional one.
    structure = getattr(getattr(model, "_functional", None) or model, "_inputs_struct", None)
    if structure is None:
        raise ValueError(
            f"model {model.name!r} has no keras.Input that defines its inputs; wrap it: "
            "keras.Model(inputs, model(inputs)) with inputs = keras.Input((None, features))"
        )
    for spec in keras.tree.flatten(structure):
        if started := _started_from(model, spec):
            raise ValueError(
                f"input {spec.name!r} of shape {tuple(spec.shape)} is an initial state of layer "
                f"{started!r}; a session carries the states itself: build the model "
                "without this input, from the same layers, and pass the states once, as "
                f"StreamingSession(model, initial_state={{{started!r}: states}})"
            )
        _check_spec(spec, samples)
    sizes = [getattr(layer, "input_dim", None) for layer in model._flatten_layers()]
    return StreamInputs(structure, samples, min((n for n in sizes if n), default=None))


def _started_from(model: keras.Model, spec: keras.KerasTensor) -> str:
    """Return the name of a recurrent layer that takes ``spec`` as a state, if there is one."""
    recurrent = (keras.layers.RNN, keras.layers.Bidirectional)
    for layer in model._flatten_layers():
        nodes = layer._inbound_nodes if isinstance(layer, recurrent) else ()
        if any(state is spec for node in nodes for state in node.input_tensors[1:]):
            return layer.name
    return ""


def _check_spec(spec: keras.KerasTensor, samples: int) -> None:
    shape = tuple(spec.shape)
    if shape[0] not in (None, samples):
        raise ValueError(
            f"input {spec.name!r} has shape {shape}, so samples must be {shape[0]}, not {samples}"
        )
    if len(shape) == 2 and shape[1] is not None and not keras.backend.is_int_dtype(spec.dtype):
        raise ValueError(
            f"input {spec.name!r} has shape {shape}, without a time axis; a stream reads every "
            f"input step by step: build the model with keras.Input((None, {shape[1]})) for it"
        )
    if len(shape) < 2 or shape[1] is not None:
        right = (None, *shape[2:])
        raise ValueError(
            f"input {spec.name!r} has shape {shape}; a stream has any number of steps: build the "
            f"model with keras.Input({right}) and the same weights, or use streaming_twin(model)"
        )
    if None in shape[2:] or spec.dtype == "string":
        raise ValueError(
            f"input {spec.name!r} has shape {shape} and holds {spec.dtype}; a stream needs numbers "
            "(sample, time, ...) with known sizes after time"
        )


def _rank(values: Any) -> int | None:
    """Return the number of axes of an array or of nested lists; None if they have no shape."""
    try:
        return len(values.shape) if hasattr(values, "shape") else np.ndim(values)
    except ValueError:
        return None


def _check(spec: keras.KerasTensor, given: Any, samples: int, one_step: bool) -> tf.Tensor:
    inner = tuple(spec.shape[2:])
    steps = "" if one_step else "at least 1 step and then "
    right = f"input {spec.name!r} expects {samples} samples, {steps}{inner} of {spec.dtype}"
    try:
        values = given if isinstance(given, tf.Tensor) else np.asarray(given)
        shape = tuple(values.shape)
        tensor = tf.convert_to_tensor(values[:, np.newaxis] if one_step and shape else values)
    except (TypeError, ValueError) as error:  # lists of different lengths, objects
        raise ValueError(f"{right}; the value has no shape or no numbers: {error}") from error
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
        raise ValueError(f"{right}; it receives {tensor.dtype.name}")
    fits = len(tensor.shape) == len(spec.shape) and tensor.shape[0] == samples
    if not fits or tuple(tensor.shape[2:]) != inner or not tensor.shape[1]:
        raise ValueError(f"{right}; it receives {shape}")
    return tensor if tensor.dtype == spec.dtype else tf.cast(tensor, spec.dtype)
