"""Find recurrent layers and cells that run in a model but are not recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import keras

from lstm_states.kernels.layer import cells_of

RNN = keras.layers.RNN


class Watch:
    """Notes calls of recurrent layers and cells that no recurrent layer of the model accounts for.

    Args:
        known: The recurrent layers of the model by address.
        traced: Addresses of those that are recorded.

    Attributes:
        missed: By name, why what was called isn't recorded.
    """

    def __init__(self, known: Mapping[str, keras.layers.RNN], traced: Mapping[str, Any]) -> None:
        self.missed: dict[str, str] = {}
        self._rest = [layer for address, layer in known.items() if address not in traced]
        self._known = list(known.values())
        self._cells = {
            id(c): a for a, layer in known.items() for c in (layer.cell, *cells_of(layer))
        }
        self._thread = threading.get_ident()
        self._accounted = 0

    @contextmanager
    def accounted(self) -> Iterator[None]:
        """Let a layer that is known run what it likes, while the block runs."""
        mine = threading.get_ident() == self._thread
        self._accounted += mine
        try:
            yield
        finally:
            self._accounted -= mine

    @contextmanager
    def active(self) -> Iterator[None]:
        """Watch what is called while the block runs, in this thread."""
        original = keras.layers.Layer.__call__

        @wraps(original)
        def call(layer: keras.Layer, *arguments: Any, **options: Any) -> Any:
            if not self._concerns(layer):
                return original(layer, *arguments, **options)
            self._note(layer)
            with self.accounted():
                return original(layer, *arguments, **options)

        keras.layers.Layer.__call__ = call
        try:
            yield
        finally:
            keras.layers.Layer.__call__ = original

    def _concerns(self, layer: keras.Layer) -> bool:
        """Tell whether nothing accounts for this call; a traced layer does so in its loop alone."""
        if self._accounted or threading.get_ident() != self._thread:
            return False
        if isinstance(layer, RNN):
            return not _among(layer, self._known) or _among(layer, self._rest)
        return hasattr(layer, "state_size")

    def _note(self, layer: keras.Layer) -> None:
        kind = type(layer).__name__
        if not isinstance(layer, RNN):
            name = self._cells.get(id(layer), layer.name)
            self.missed[f"{name} (cell)"] = f"steps of this {kind} outside a recurrent layer"
        elif not _among(layer, self._known):
            self.missed[layer.name] = f"a {kind} that the model runs but doesn't hold as a layer"


def _among(layer: keras.Layer, layers: list[keras.layers.RNN]) -> bool:
    return any(layer is other for other in layers)
