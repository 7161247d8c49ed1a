"""Record what every LSTM layer of a model did with a batch of sequences."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from warnings import catch_warnings, filterwarnings

import keras
import numpy as np
import tensorflow as tf
import xarray as xr

from lstm_states.schema import QUANTITIES
from lstm_states.traces.layers import UnsupportedLayerError, select_layers
from lstm_states.traces.scan import scan_lstm

TOLERANCE = 1e-5
"""Largest difference allowed between a recorded h and the layer's own, relative to 1 + max |h|."""

State = tuple[np.ndarray, np.ndarray]

_LONG_NAMES = {
    "hidden": "hidden state h, the layer's output",
    "cell": "cell state c, which never leaves the layer",
    "input_gate": "input gate i, the share of the candidate written",
    "forget_gate": "forget gate f, the share of the cell state kept",
    "candidate": "candidate g, what could be written",
    "output_gate": "output gate o, the share of the cell state shown",
}


class TraceError(RuntimeError):
    """A recorded hidden state differs from what the layer itself returned."""


def record_traces(
    model: keras.Model,
    x: Any,
    *,
    mask: np.ndarray | None = None,
    initial_state: Mapping[str, State] | None = None,
    layers: Sequence[str] | str | None = None,
    quantities: Sequence[str] | None = None,
    batch_size: int = 256,
) -> xr.DataTree:
    """Record the states and gates of the LSTM layers of ``model`` while it predicts ``x``.

    Keras itself runs the model in inference mode, so every layer gets the input, the mask and the
    start that it gets in ``model.predict``. What each LSTM layer was given is then run through the
    LSTM equations with the layer's own weights, and the hidden states are compared with what the
    layer returned. The model is not changed, live states of stateful layers included.

    Args:
        model: A built model with LSTM layers anywhere in it.
        x: What ``model.predict`` takes: an array ``(sample, time, feature)``, or a list or dict of
            arrays for several inputs.
        mask: Bool ``(sample, time)``, true where the step is real; handed to the model, which must
            have one input.
        initial_state: By layer address, the hidden and cell state to start from, each
            ``(sample, unit)``. Other layers start as Keras starts them.
        layers: Addresses or shell patterns of the layers to record; None records all of them.
        quantities: Some of ``hidden cell input_gate forget_gate candidate output_gate``; None is
            all six.
        batch_size: Samples computed at a time.

    Returns:
        A tree with one node per layer at the layer's address (``lstm_1``, ``encoder/lstm``,
        ``bidirectional/backward``). A node holds the quantities ``(sample, time, unit)``,
        ``initial_hidden`` and ``initial_cell`` ``(sample, unit)``, and the ``mask (sample, time)``
        its layer was given, all true without one. ``time`` is the input's time index, for backward
        layers too. At masked steps ``hidden`` and ``cell`` repeat what was carried and the gates
        are NaN. The root holds the model's ``outputs`` (for several ``outputs_0`` and so on, or by
        their keys, ``outputs_last``) and, where all layers saw the same one, the ``mask``.

    Raises:
        UnsupportedLayerError: if a layer can't be traced exactly.
        TraceError: if a recorded hidden state differs from the layer's own by more than 1e-5 times
            1 + max |h|, or is NaN.
        ValueError: if an argument doesn't fit the model or the data; it says which.

    Example:
        >>> traces = record_traces(model, x)
        >>> traces["lstm_1/forget_gate"].sel(unit=3).mean("time")
    """
    selected = select_layers(model, layers)
    names = _check_quantities(quantities)
    size = _sample_count(x, mask, batch_size)
    states = _check_states(initial_state or {}, selected, size)
    _check_stateful(model, size, batch_size)
    record = _recorder(model, selected)
    batches = []
    for start in range(0, size, batch_size):
        batch = _rows((x, mask, states), slice(start, start + batch_size))
        batches.append(keras.tree.map_structure(np.asarray, record(*batch)))
    outputs, nodes = keras.tree.map_structure(lambda *parts: _joined(parts), *batches)
    _check_mask(mask, nodes)
    return _tree(model, selected, names, outputs, nodes)


def _recorder(model: keras.Model, layers: Mapping[str, keras.layers.LSTM]) -> Callable[..., Any]:
    """Compile one function from a batch to ``(outputs, {address: quantities})``."""

    @tf.function(reduce_retracing=True, autograph=False)
    def record(x: Any, mask: Any, states: Any) -> Any:
        # The scope catches every assignment, so live states and counters stay as they are.
        with keras.StatelessScope(), _intercepted(layers, states) as calls, catch_warnings():
            # Keras warns that a mask given to the outermost model doesn't leave it; none needs to.
            filterwarnings("ignore", f"Layer '{re.escape(model.name)}' .*input with a mask")
            outputs = model(x, training=False, **({} if mask is None else {"mask": mask}))
        nodes = {address: _quantities(address, layers[address], calls) for address in layers}
        return outputs, nodes

    return record


@contextmanager
def _intercepted(
    layers: Mapping[str, keras.layers.LSTM], states: Mapping[str, Any]
) -> Iterator[dict[str, list[tuple]]]:
    """Note what reaches and leaves the inner loop of each layer while the block runs.

    ``inner_loop`` is where Keras hands over the input, start and mask a layer really uses, whatever
    wraps the layer. The attribute set on the instance hides the method and is removed again.
    """
    calls: dict[str, list[tuple]] = {address: [] for address in layers}

    def wrap(address: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def inner_loop(sequences: Any, initial_state: Any, mask: Any, **options: Any) -> Any:
            start = states.get(address, initial_state)
            result = original(sequences, start, mask, **options)
            calls[address].append((sequences, tuple(start), mask, result))
            return result

        return inner_loop

    try:
        for address, layer in layers.items():
            vars(layer)["inner_loop"] = wrap(address, layer.inner_loop)
        yield calls
    finally:
        for layer in layers.values():
            vars(layer).pop("inner_loop", None)


def _quantities(
    address: str, layer: keras.layers.LSTM, calls: Mapping[str, list[tuple]]
) -> dict[str, tf.Tensor]:
    if len(calls[address]) != 1:
        raise UnsupportedLayerError(
            f"layer {address!r} is called {len(calls[address])} times in one pass; "
            "only layers called once can be traced"
        )
    sequences, start, mask, (last, outputs, _) = calls[address][0]
    mask = mask[0] if isinstance(mask, list | tuple) else mask
    mask = tf.ones(tf.shape(sequences)[:2], bool) if mask is None else tf.cast(mask, bool)
    values = scan_lstm(layer.cell, sequences, start, mask, go_backwards=layer.go_backwards)
    hidden = values["hidden"]
    if layer.return_sequences:
        # Backward layers return their steps in the order in which they took them.
        own = tf.reverse(outputs, [1]) if layer.go_backwards else outputs
        error = tf.where(mask[..., tf.newaxis], tf.abs(own - hidden), 0.0)
    else:
        final = 0 if layer.go_backwards else -1
        # Keras returns zeros, not the carried state, where no step was real or if asked to.
        shown = mask[:, final] if layer.zero_output_for_mask else tf.reduce_any(mask, 1)
        error = tf.where(shown[:, tf.newaxis], tf.abs(last - hidden[:, final]), 0.0)[:, tf.newaxis]
    values |= {"initial_hidden": start[0], "initial_cell": start[1], "mask": mask}
    return values | {"error": tf.reduce_max(error, (1, 2))}


def _tree(
    model: keras.Model,
    layers: Mapping[str, keras.layers.LSTM],
    names: Sequence[str],
    outputs: Any,
    nodes: dict[str, dict[str, np.ndarray]],
) -> xr.DataTree:
    masks = [node["mask"] for node in nodes.values()]
    one_time = len({mask.shape for mask in masks}) == 1
    root = xr.Dataset(attrs={**_model_attrs(model), "layers": list(nodes)})
    for name, values in _named_outputs(outputs):
        per_step = one_time and values.ndim > 2 and values.shape[1] == masks[0].shape[1]
        inner = ("time",) if per_step else ()
        rest = tuple(f"{name}_{axis}" for axis in range(values.ndim - 1 - len(inner)))
        root[name] = ("sample", *inner, *rest), values
    if one_time and all(np.array_equal(mask, masks[0]) for mask in masks):
        root["mask"] = ("sample", "time"), masks[0], {"long_name": "true where the step is real"}
    children = {a: _node(a, layers[a], names, node) for a, node in nodes.items()}
    return xr.DataTree.from_dict({"/": root, **children})


def _node(
    address: str, layer: keras.layers.LSTM, names: Sequence[str], values: dict[str, np.ndarray]
) -> xr.Dataset:
    error = float(values["error"].max())
    if np.isnan(error):
        raise TraceError(f"layer {address!r} gives NaN: look for NaN in x and in the weights")
    limit = TOLERANCE * (1 + float(np.abs(values["hidden"]).max()))
    if not error <= limit:
        raise TraceError(
            f"layer {address!r}: the recorded hidden state differs from the layer's own by "
            f"{error:.2g}, more than {limit:.2g}"
        )
    dims = ("sample", "time", "unit")
    variables: dict[str, tuple] = {
        q: (dims, values[q], {"long_name": _LONG_NAMES[q]}) for q in names
    }
    variables |= {q: (("sample", "unit"), values[q]) for q in ("initial_hidden", "initial_cell")}
    variables["mask"] = ("sample", "time"), values["mask"]
    attrs = {
        "units": layer.units,
        "activation": keras.activations.serialize(layer.activation),
        "recurrent_activation": keras.activations.serialize(layer.recurrent_activation),
        "go_backwards": int(layer.go_backwards),
        "layer_output_error": error,
    }
    return xr.Dataset(variables, attrs=attrs)


def _model_attrs(model: keras.Model) -> dict[str, str]:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return {
        "model": model.name,
        "weights_sha256": digest.hexdigest(),
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
    }


def _named_outputs(outputs: Any) -> list[tuple[str, np.ndarray]]:
    flat = keras.tree.flatten_with_path(outputs)
    return [("_".join(["outputs", *map(str, path)]), values) for path, values in flat]


def _rows(arrays: Any, rows: slice) -> Any:
    def cut(array: Any) -> tf.Tensor:
        return tf.convert_to_tensor(array[rows])

    return keras.tree.map_structure(cut, arrays, none_is_leaf=False)


def _joined(parts: tuple[np.ndarray, ...]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _check_quantities(quantities: Sequence[str] | None) -> list[str]:
    unknown = set(quantities or ()) - set(QUANTITIES)
    if unknown or isinstance(quantities, str):
        raise ValueError(f"quantities is {quantities!r}; allowed are some of {list(QUANTITIES)}")
    return [name for name in QUANTITIES if quantities is None or name in quantities]


def _sample_count(x: Any, mask: np.ndarray | None, batch_size: int) -> int:
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
    if mask is not None and (np.ndim(mask) != 2 or len(keras.tree.flatten(x)) != 1):
        raise ValueError(
            f"mask has shape {np.shape(mask)} for {len(keras.tree.flatten(x))} inputs; "
            "it must be (sample, time) for one input"
        )
    sizes = {len(array) for array in keras.tree.flatten((x, [] if mask is None else [mask]))}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            f"x and mask hold {sorted(sizes)} samples; they must hold the same number, at least 1"
        )
    return sizes.pop()


def _check_states(
    states: Mapping[str, State], layers: Mapping[str, keras.layers.LSTM], size: int
) -> dict[str, State]:
    for address, pair in states.items():
        if address not in layers:
            raise ValueError(f"initial_state names {address!r}; recorded are {list(layers)}")
        expected = (size, layers[address].units)
        shapes = [np.shape(state) for state in pair]
        if shapes != [expected, expected]:
            raise ValueError(
                f"initial_state[{address!r}] has shapes {shapes}; "
                f"the hidden and the cell state must each have {expected}"
            )
    return {a: tuple(np.asarray(s, np.float32) for s in pair) for a, pair in states.items()}  # type: ignore[misc]


def _check_stateful(model: keras.Model, size: int, batch_size: int) -> None:
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False) and size > batch_size:
            raise UnsupportedLayerError(
                f"layer {layer.name!r} is stateful: its live state is the start of one batch, but "
                f"{size} samples make several batches of {batch_size}; raise batch_size"
            )


def _check_mask(mask: np.ndarray | None, nodes: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Refuse a mask that got lost on its way to the layers, so that nothing is silently wrong."""
    if mask is not None and not any(np.array_equal(mask, n["mask"]) for n in nodes.values()):
        raise ValueError(
            f"mask reaches none of the layers {list(nodes)}: a layer below them replaces it or "
            "doesn't pass it on"
        )
