"""Find the recurrent layers in a model, however deep they are nested."""

from __future__ import annotations

from collections.abc import Iterator

import keras


def recurrent_layers(model: keras.Layer) -> Iterator[tuple[str, keras.layers.RNN]]:
    """Yield each recurrent layer once, by its address, in the order in which the model holds them.

    The address is made of the names of what holds the layer and of its own, as in
    ``encoder/lstm_1``. The layers of a ``Bidirectional`` are called ``forward`` and ``backward``.
    """
    yield from _below(model, "", set())


def _below(
    parent: keras.Layer, prefix: str, seen: set[int]
) -> Iterator[tuple[str, keras.layers.RNN]]:
    for name, layer in _children(parent):
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if isinstance(layer, keras.layers.RNN):
            yield f"{prefix}{name}", layer
        else:
            yield from _below(layer, f"{prefix}{name}/", seen)


def _children(parent: keras.Layer) -> list[tuple[str, keras.Layer]]:
    if isinstance(parent, keras.layers.Bidirectional):
        return [("forward", parent.forward_layer), ("backward", parent.backward_layer)]
    children = parent._flatten_layers(include_self=False, recursive=False)
    return [(child.name, child) for child in children]
