"""Live states of stateful layers: reset, keep, save and load them, and arrange batches for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np

from lstm_states.arrays import write_arrays
from lstm_states.layers import live_states


def _carried(model: keras.Model) -> dict[str, keras.Variable]:
    """Return the live states of ``model`` by address; ValueError if nothing is carried."""
    live = live_states(model)
    if not live:
        raise ValueError(f"model {model.name!r} has no stateful layer, so nothing is carried")
    return live


def reset_states(model: keras.Model) -> None:
    """Set the live states of all stateful layers to zero, also of nested layers and stacked cells.

    Keras 3 can reset only single layers, and fails for stacked cells.

    Raises:
        ValueError: if no layer of ``model`` is stateful, or one has no states yet.
    """
    for state in _carried(model).values():
        state.assign(np.zeros(state.shape))


@contextmanager
def kept_states(model: keras.Model) -> Iterator[None]:
    """Restore the live states at the end of the ``with`` block.

    ``evaluate``, ``predict``, a call, or a model that shares the layers would change them. The code
    inside starts from the current states; call :func:`reset_states` inside to start from zeros.

    Raises:
        ValueError: if no layer of ``model`` is stateful, or one has no states yet.

    Example:
        >>> with kept_states(model):
        ...     model.evaluate(x, y, batch_size=8)
    """
    kept = {name: state.value.numpy() for name, state in _carried(model).items()}
    try:
        yield
    finally:
        for name, state in _carried(model).items():
            state.assign(kept[name])


def make_stateful_batches(series: Any, *, slots: int, steps: int) -> np.ndarray:
    """Arrange one long series so that each row of a batch continues the same row of the last batch.

    The series is cut into ``slots`` parts of equal length, and each part into pieces. Pass the
    result to ``fit`` and ``predict`` with ``batch_size=slots``, and to ``fit`` with
    ``shuffle=False``. All batches are full, because Keras may silently spread a short last batch
    over all slots.

    Args:
        series: ``(time, ...)``, inputs or targets in temporal order.
        slots: Rows of a batch, the first number of the model's ``batch_shape``.
        steps: Timesteps of a piece.

    Returns:
        ``(batch * slot, steps, ...)``: the first pieces of all parts, then the second
        pieces, and so on.

    Raises:
        ValueError: if a size is not a whole number of at least 1, or the series cannot be cut
            evenly.

    Example:
        >>> make_stateful_batches(np.arange(8), slots=2, steps=2).tolist()
        [[0, 1], [4, 5], [2, 3], [6, 7]]
    """
    series = np.asarray(series)
    for name, size in {"slots": slots, "steps": steps}.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} is {size!r}; it must be a whole number of at least 1")
    length = len(series) if series.ndim else 0
    if not length or length % (slots * steps):
        raise ValueError(
            f"the series has {length} time steps; {slots} slots of {steps} steps need a multiple "
            f"of {slots * steps}: drop {length % (slots * steps)} or choose other sizes"
        )
    pieces = series.reshape(slots, -1, steps, *series.shape[1:])
    return pieces.swapaxes(0, 1).reshape(-1, steps, *series.shape[1:])


def save_states(model: keras.Model, path: str | Path) -> None:
    """Write the live states of all stateful layers to ``path``, a NumPy archive without pickles.

    A ``.keras`` file does not contain them. An existing file at ``path`` is replaced once the new
    one is complete.

    Raises:
        ValueError: if no layer of ``model`` is stateful, or one has no states yet.
    """
    # In double precision every type comes back as it was; NumPy can't store bfloat16.
    arrays = {name: np.asarray(s.value, np.float64) for name, s in _carried(model).items()}
    write_arrays(Path(path), arrays)


def load_states(model: keras.Model, path: str | Path) -> None:
    """Load the live states that :func:`save_states` wrote into the stateful layers of ``model``.

    Raises:
        FileNotFoundError: if there is no file at ``path``.
        ValueError: if the file does not contain states, or if the layers of ``model`` have other
            addresses or states of other shapes.
    """
    live = _carried(model)
    try:
        with np.load(path, allow_pickle=False) as file:
            saved = dict(file)
    except (ValueError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} isn't a readable file of states: {error}") from error
    there, here = ({name: tuple(s.shape) for name, s in part.items()} for part in (saved, live))
    if there != here:
        raise ValueError(f"{path} holds {there}, but model {model.name!r} has {here}")
    for name, state in live.items():
        state.assign(saved[name])
