"""The kind of a Keras cell, its states, and their layout."""

from __future__ import annotations

from collections.abc import Iterable
from pkgutil import resolve_name
from typing import Any

import keras

from lstm_states.cells import CUSTOM, KINDS, CellKind
from lstm_states.layers import own_methods

_CLASSES = {kind: resolve_name(kind.keras_cell) for kind in KINDS.values() if kind.keras_cell}


def find_kind(cell: keras.Layer) -> CellKind | None:
    """Return the kind of ``cell``.

    Whatever of a step a subclass or an instance replaces makes it a kind of its own, of which the
    states are known but no gates. None if they can't be laid out: they aren't one to four vectors
    of one width nor those of a ConvLSTM, or the cell is no Keras layer.
    """
    for kind, base in _CLASSES.items():
        if isinstance(cell, base) and not own_methods(cell, base):
            return kind
    derived = _derived_from(cell)
    if derived and _in_space(derived.state_dims(cell)):
        own_states = type(cell).get_initial_state is not _CLASSES[derived].get_initial_state
        return None if own_states else CUSTOM[len(derived.states) - 1]
    sizes = keras.tree.flatten(cell.state_size)
    flat = isinstance(cell.state_size, int) or sizes == list(cell.state_size)
    one_width = all(isinstance(size, int) for size in sizes) and len(set(sizes)) == 1
    is_stack = isinstance(cell, keras.layers.StackedRNNCells)
    fits = flat and one_width and len(sizes) <= len(CUSTOM)
    plain = isinstance(cell, keras.Layer) and not is_stack and not hasattr(cell, "kernel_size")
    return CUSTOM[len(sizes) - 1] if fits and plain else None


def kind_of(cell: keras.Layer) -> CellKind:
    """Return the kind of a cell of which it is known that it has one."""
    kind = find_kind(cell)
    assert kind is not None, cell
    return kind


def _derived_from(cell: keras.Layer) -> CellKind | None:
    """Return the kind whose class ``cell`` is made from, whatever it changes of it."""
    return next((kind for kind, base in _CLASSES.items() if isinstance(cell, base)), None)


def divide_states(cells: Iterable[keras.Layer], states: Any) -> list[list[Any]]:
    """Divide states that are nested in any way among the ``cells`` they are for."""
    flat = iter(keras.tree.flatten(states))
    return [[next(flat) for _ in kind_of(cell).states] for cell in cells]


def state_dims(cell: keras.Layer) -> tuple[str, ...]:
    """Return the names of the axes behind the batch that a state of ``cell`` has."""
    return (_derived_from(cell) or CUSTOM[0]).state_dims(cell)


def input_dims(cell: keras.Layer) -> tuple[str, ...]:
    """Return the names of the axes behind the batch of what ``cell`` is given at a step."""
    return tuple("feature" if dim == "unit" else f"input_{dim}" for dim in state_dims(cell))


def features_of(cell: keras.Layer) -> int | None:
    """Return how many features, or channels, ``cell`` is given; None if its weights don't tell."""
    kernel = getattr(cell, "kernel", None)
    # What a weight of a custom cell is for, only its code knows.
    return kernel.shape[-2] if kind_of(cell).keras_cell and kernel is not None else None


def unit_axis(cell: keras.Layer) -> int:
    """Return the place of the units, or filters, among all axes of a state of ``cell``."""
    return 1 + state_dims(cell).index("unit")


def state_shape(cell: keras.Layer) -> tuple[int, ...]:
    """Return the sizes of the axes behind the batch; ``cell`` is built."""
    if _in_space(state_dims(cell)):
        return tuple(cell.get_initial_state(batch_size=1)[0].shape[1:])
    return (int(keras.tree.flatten(cell.state_size)[0]),)


def units_of(cell: keras.Layer) -> int:
    """Return how many units, or filters, ``cell`` has."""
    return state_shape(cell)[unit_axis(cell) - 1]


def _in_space(dims: tuple[str, ...]) -> bool:
    return len(dims) > 1
