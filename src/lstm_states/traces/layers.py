"""Find the LSTM layers of a model, give each its address, refuse what can't be traced exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import keras


class UnsupportedLayerError(ValueError):
    """A recurrent layer that can't be traced exactly; names the layer and the reason."""


def select_layers(
    model: keras.Model, patterns: Sequence[str] | str | None
) -> dict[str, keras.layers.LSTM]:
    """Return the LSTM layers to trace by address, in the order the model holds them.

    Args:
        model: A built model.
        patterns: Addresses or shell patterns such as ``"encoder/*"``; None selects every
            recurrent layer.

    Raises:
        UnsupportedLayerError: if a selected layer can't be traced exactly.
        ValueError: if the model isn't built, holds no recurrent layer, or a pattern matches none.
    """
    if not model.built:
        raise ValueError(
            f"model {model.name!r} has no weights yet; give it a keras.Input or call it once"
        )
    found = {}
    for address, layer in _recurrent_layers(model, ""):
        if address in found:
            raise UnsupportedLayerError(
                f"two layers have the address {address!r}; give them names that differ"
            )
        found[address] = layer
    if not found:
        raise ValueError(f"model {model.name!r} holds no recurrent layer")
    selected = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns or ["*"]:
        matches = {a: layer for a, layer in found.items() if fnmatchcase(a, pattern)}
        if not matches:
            raise ValueError(f"no recurrent layer matches {pattern!r}; there are {list(found)}")
        selected.update(matches)
    for address, layer in selected.items():
        _check_supported(address, layer)
    return {address: layer for address, layer in found.items() if address in selected}


def _recurrent_layers(parent: keras.Layer, prefix: str) -> Iterator[tuple[str, keras.Layer]]:
    for name, layer in _children(parent):
        address = f"{prefix}{name}"
        if isinstance(layer, keras.layers.RNN | keras.layers.TimeDistributed):
            if isinstance(layer, keras.layers.RNN) or any(_recurrent_layers(layer, "")):
                yield address, layer
        else:
            yield from _recurrent_layers(layer, f"{address}/")


def _children(parent: keras.Layer) -> list[tuple[str, keras.Layer]]:
    if isinstance(parent, keras.layers.Bidirectional):
        return [("forward", parent.forward_layer), ("backward", parent.backward_layer)]
    children = parent._flatten_layers(include_self=False, recursive=False)
    return [(child.name, child) for child in children]


def _check_supported(address: str, layer: keras.Layer) -> None:
    if type(layer) is not keras.layers.LSTM:
        reason = f"it is a {type(layer).__name__}; only keras.layers.LSTM can be traced"
    elif layer.compute_dtype != "float32":
        reason = f"it computes in {layer.compute_dtype}; only float32 can be traced"
    else:
        return
    raise UnsupportedLayerError(
        f"layer {address!r} can't be traced exactly: {reason}. Leave it out with layers=[...]"
    )
