"""The class of which each file in this folder defines one instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Values = dict[str, "tf.Tensor"]

Arise = Callable[[str, "tf.Tensor"], "tf.Tensor"]

Arrays = Mapping[str, np.ndarray]

INPUTS = "inputs"
"""The quantity that stands for what a cell is given, whatever its kind."""

INITIAL = "initial_"
"""What the names of the states begin with that a layer starts from."""

HIDDEN = "hidden state h, the layer's output"
CELL = "cell state c, which never leaves the layer"


def is_start(quantity: str) -> bool:
    """Tell whether a quantity is what a layer starts from, which has no steps."""
    return quantity.startswith(INITIAL)


@dataclass(frozen=True)
class Equation:
    """What a state must be, by other quantities of the same trace.

    ``value(now, before, activation)`` computes it in NumPy from the quantities of each step, the
    states before each step, all ``(sample, time, unit)``, and the activation of the cell.
    """

    state: str
    value: Callable[[Arrays, Arrays, Any], np.ndarray]
    looks_back: bool
    """Whether it needs the states before a step, which a trace of chosen steps may lack."""
    activates: bool
    """Whether it needs the activation, which may be a function that nobody else knows."""


@dataclass(frozen=True)
class Memory:
    """How a state is made of what it was: ``state = kept * state_before + written``.

    ``kept`` is a gate, and ``written(now)`` is computed in NumPy from the quantities of each step,
    all ``(sample, time, unit)``.
    """

    state: str
    kept: str
    written: Callable[[Arrays], np.ndarray]


@dataclass(frozen=True, eq=False)
class CellKind:
    """All that a kind of cell is.

    Args:
        name: What the attribute ``cell`` of a trace says.
        states: What it carries from step to step, in the order of Keras's states.
        long_names: Of every quantity that a trace holds of it, the states first, in the order in
            which the trace holds them.
        keras_cell: Keras's class, as ``module:name``; empty for cells with equations of their own.
        activations: The attributes of the cell that name its activations.
        project: Makes of the cell and all its inputs ``(time, batch, feature)`` what can be
            computed before the first step.
        step: Makes of the cell, a step of that ``(batch, ...)`` and the quantities before it the
            quantities after it, ``(batch, unit)`` each. Each passes through ``arise(name, value)``
            before it is used, where it can be changed. The order of the sums is Keras's own, so
            that half precision rounds alike. None if the cell itself takes the steps, of which
            the states are kept.
        equations: What :func:`lstm_states.check_traces` holds the quantities to.
        memory: The state that keeps a share of itself from step to step; None if none does.
        state_dims: Makes of a cell the names of the axes that a state has behind the batch.
    """

    name: str
    states: tuple[str, ...]
    long_names: Mapping[str, str]
    keras_cell: str = ""
    activations: tuple[str, ...] = ()
    project: Callable[[Any, tf.Tensor], tf.Tensor] | None = None
    step: Callable[[Any, tf.Tensor, Values, Arise], Values] | None = None
    equations: tuple[Equation, ...] = ()
    memory: Memory | None = None
    state_dims: Callable[[Any], tuple[str, ...]] = lambda cell: ("unit",)

    @property
    def quantities(self) -> tuple[str, ...]:
        """What a trace holds of each sample, step and unit."""
        return tuple(self.long_names)


def weight(cell: keras.Layer, name: str) -> tf.Tensor:
    """Return a weight of ``cell`` in the precision in which it computes."""
    import tensorflow as tf

    return tf.cast(tf.convert_to_tensor(getattr(cell, name)), cell.compute_dtype)


def split(columns: tf.Tensor, parts: int) -> list[tf.Tensor]:
    """Cut what stands side by side in Keras's kernels."""
    import tensorflow as tf

    return tf.split(columns, parts, axis=-1)
