"""What is inspected: a model with its inputs, held to what the model takes before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pandas as pd

from lstm_states.layers import check_model, graph_nodes


@dataclass(frozen=True)
class Given:
    """A model and what it reads.

    Args:
        model: The model.
        x: Its inputs, nested as the model takes them.
        mask: ``(sample, time)``, true where a step is real; None if the caller named none.
        labels: A class or number for each sample ``(sample,)`` or step ``(sample, time)``; or None.
        tokens: The words that whole numbers in ``x`` count; or None.
    """

    model: keras.Model
    x: Any
    mask: np.ndarray | None = None
    labels: np.ndarray | None = None
    tokens: Sequence[str] | None = None

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(keras.tree.flatten(self.x)[0])

    @property
    def slots(self) -> int | None:
        """The batch size that the model is built for; None is any."""
        inputs = getattr(self.model, "inputs", None) or ()
        return next((spec.shape[0] for spec in inputs if spec.shape[0] is not None), None)

    def take(self, at: Any) -> Given:
        """Return some samples of it."""
        return replace(
            self,
            x=keras.tree.map_structure(lambda leaf: leaf[at], self.x),
            mask=None if self.mask is None else self.mask[at],
            labels=None if self.labels is None else self.labels[at],
        )


def graph_inputs(model: keras.Model) -> list[Any]:
    """Return the tensors at which the graph of a model begins; none if it has no graph."""
    return list(getattr(getattr(model, "_functional", model), "inputs", None) or ())


def check_given(
    model: Any, x: Any, *, mask: Any, labels: Any, tokens: Any, names: Sequence[str] = ()
) -> Given:
    """Refuse what doesn't fit, and return the rest as arrays, nested as the model takes them.

    Args:
        model: A built model.
        x: An array, or a list or dict of arrays.
        mask: As :class:`Given` has it.
        labels: As :class:`Given` has it; one column, or one column for each class, is fine too.
        tokens: As :class:`Given` has it.
        names: What the arrays of ``x`` are called in an error, in their order; none is ``x``.

    Raises:
        TypeError: if ``model`` is no model of the installed Keras.
        ValueError: naming the argument, its shape and what would be right.
    """
    check_model(model)
    nested, names = _nested(model, x, names)
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(nested)]
    specs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    for place, leaf in enumerate(leaves):
        name = names[place]
        if leaf.dtype.kind not in "biuf":
            raise ValueError(f"{name} holds {leaf.dtype} values; they must be real numbers")
        if leaf.ndim < 2 or 0 in leaf.shape:
            raise ValueError(
                f"{name} has shape {leaf.shape}; it must be (sample, time, ...), without an empty "
                "axis"
            )
        if specs:
            _check_shape(model, name, leaf, specs[place])
    _check_codes(model, names, leaves)
    sizes = {name: len(leaf) for name, leaf in zip(names, leaves, strict=True)}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"the inputs hold {sizes} samples; they must hold the same number")
    given = Given(model, keras.tree.pack_sequence_as(nested, leaves))
    if mask is not None:
        mask = np.asarray(mask)
        if len(leaves) > 1 or mask.shape != leaves[0].shape[:2]:
            raise ValueError(
                f"mask has shape {mask.shape}; it must be {leaves[0].shape[:2]}, (sample, time), "
                "of a model with one input"
            )
        mask = mask.astype(bool)
    return replace(
        given, mask=mask, labels=_labels(labels, leaves[0].shape[:2]), tokens=_tokens(tokens, given)
    )


def _nested(model: keras.Model, x: Any, names: Sequence[str]) -> tuple[Any, list[str]]:
    """Return ``x`` nested as the model's inputs, and what each array is called in an error."""
    specs = getattr(model, "inputs", None) or []
    if isinstance(x, dict) and specs:
        wanted = [spec.name for spec in specs]
        if missing := [name for name in wanted if name not in x]:
            raise ValueError(
                f"x holds the arrays {sorted(x)}, and none called {missing[0]!r}; model "
                f"{model.name!r} has the inputs {wanted}"
            )
        x = [x[name] for name in wanted]
        names = names or [f"x[{name!r}]" for name in wanted]
    leaves = keras.tree.flatten(x)
    if specs and len(leaves) != len(specs):
        wanted = [spec.name for spec in specs]
        raise ValueError(f"x holds {len(leaves)} arrays; model {model.name!r} has inputs {wanted}")
    plain = ["x"] if len(leaves) == 1 else [f"x[{n}]" for n in range(len(leaves))]
    if specs:
        shape = model.inputs if isinstance(model, keras.Sequential) else model.input
        x = keras.tree.pack_sequence_as(shape, leaves)
        x = x[0] if isinstance(x, list) and len(leaves) == 1 else x
    return x, list(names or plain)


def _check_shape(model: keras.Model, name: str, leaf: np.ndarray, spec: Any) -> None:
    """Refuse an array of other axes or sizes than an input has, but for the number of samples."""
    due, own = tuple(spec.shape), leaf.shape
    alike = len(due) == len(own) and all(
        size in (None, given) for size, given in zip(due[1:], own[1:], strict=True)
    )
    if not alike:
        sizes = ", ".join("any" if size is None else str(size) for size in (None, *due[1:]))
        raise ValueError(
            f"{name} has shape {own}; input {spec.name!r} of model {model.name!r} takes ({sizes})"
        )
    if due[0] is not None and own[0] < due[0]:
        raise ValueError(
            f"{name} holds {own[0]} samples; model {model.name!r} is built for batches of {due[0]}"
        )


def _check_codes(model: keras.Model, names: Sequence[str], leaves: Sequence[np.ndarray]) -> None:
    """Refuse numbers that an Embedding has no row for: Keras fails, or reads another row."""
    places = {id(spec): place for place, spec in enumerate(graph_inputs(model))}
    for node in graph_nodes(model):
        layer, read = node.operation, [id(tensor) for tensor in node.arguments.keras_tensors]
        if not isinstance(layer, keras.layers.Embedding) or read[0] not in places:
            continue
        place = places[read[0]]
        leaf = leaves[place]
        wrong = (leaf < 0) | (leaf >= layer.input_dim) | (np.trunc(leaf) != leaf)
        if wrong.any():
            at = np.unravel_index(int(wrong.argmax()), leaf.shape)
            raise ValueError(
                f"{names[place]} holds {leaf[at]} in sample {at[0]}; layer {layer.name!r} takes "
                f"whole numbers from 0 to {layer.input_dim - 1}"
            )


def _labels(labels: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return labels ``(sample,)`` or ``(sample, time)``."""
    if labels is None:
        return None
    try:
        values = np.asarray(labels)
    except ValueError as error:
        raise ValueError(f"labels is no array: {error}") from error
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    elif values.ndim == 2 and values.shape != shape and _is_one_hot(values):
        values = values.argmax(1)
    elif values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.shape not in (shape[:1], shape):
        raise ValueError(
            f"labels has shape {values.shape}; it must be {shape[:1]}, one for each sample, or "
            f"{shape}, one for each step"
        )
    if (missing := np.asarray(pd.isnull(values))).any():
        raise ValueError(
            f"labels holds NaN or nothing for sample {np.argwhere(missing)[0][0]}; each sample "
            "needs one"
        )
    if values.dtype.kind not in "biufUSO":
        raise ValueError(f"labels holds {values.dtype} values; they must be texts or numbers")
    if values.dtype.kind in "SO":
        values = values.astype(str)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("labels holds infinity; they must be texts or numbers")
    return values


def _is_one_hot(values: np.ndarray) -> bool:
    return bool(np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all())


def _tokens(tokens: Any, given: Given) -> list[str] | None:
    """Return the words, if all places in ``x`` are among them."""
    if tokens is None:
        return None
    words = [str(word) for word in tokens]
    codes = keras.tree.flatten(given.x)[0]
    if codes.ndim != 2 or (np.trunc(codes) != codes).any():
        raise ValueError(
            f"tokens needs inputs that are whole numbers (sample, time); x has shape {codes.shape}"
        )
    if codes.min() < 0 or codes.max() >= len(words):
        raise ValueError(
            f"tokens holds {len(words)} words; x counts them from {int(codes.min())} to "
            f"{int(codes.max())}"
        )
    return words
