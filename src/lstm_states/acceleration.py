"""Run the stock LSTM and GRU layers of a Keras model on fused kernels, in all that it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MethodType
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from lstm_states.kernels.fused import suits_kernel
from lstm_states.kernels.layer import run_layer
from lstm_states.layers import check_model, own_methods, recurrent_layers
from lstm_states.timing import measure_ratios

FAST = "fused kernel"
"""What :func:`accelerate` says of a layer that runs on the kernel of its kind."""

_CELLS = {keras.layers.LSTM: keras.layers.LSTMCell, keras.layers.GRU: keras.layers.GRUCell}
"""By the class of a layer that there is a kernel for, the class of its cell."""


def accelerate(model: keras.Model, x: Any = None) -> dict[str, str]:
    """Run every ``keras.layers.LSTM`` and ``GRU`` of ``model`` on a fused kernel where it is exact.

    ``fit``, ``evaluate``, ``predict`` and custom loops become faster. Outputs, and gradients of any
    order, stay the same up to rounding. The model keeps its classes, weights and config. It can be
    saved, loaded and cloned as before; loaded models and clones run as stock Keras. If ``fit`` is
    running, in a callback or another thread, it uses the new path from its next batch on. Call the
    function again after adding layers. A ``tf.function`` that has already traced the model keeps
    what it traced.

    By default, TensorFlow also splits the small products of each step among its threads, which
    costs more than it saves here. Set a single intra-op thread before anything else runs:
    ``tf.config.threading.set_intra_op_parallelism_threads(1)``.

    Args:
        model: Any model; layers inside ``Bidirectional`` and nested models are included.
        x: A batch of inputs, as ``model(x)`` takes it. Each layer then goes forward and back on
            both paths, in turns, and keeps the faster one. This takes some seconds a layer, and
            moves no state or seed.

    Returns:
        For the address of each recurrent layer, :data:`FAST`, or the reason why it stays on Keras's
        own path. With ``x``, also what part of the time on Keras's own path the kernel takes.
        The choice is repeated each time Keras traces the layer. A layer also uses Keras's path for
        inputs that are not float32, and for initial states or masks whose shapes do not fit.

    Raises:
        TypeError: if ``model`` is not a Keras model.
    """
    layers = list(_layers(model))
    reasons = {layer: _why_not(layer) for _, layer in layers}
    suited = [layer for layer, why in reasons.items() if why is None]
    ratios = {} if x is None else measure_ratios(model, x, suited, _inner_loop)
    report: dict[str, str] = {}
    for address, layer in layers:
        why, ratio = reasons[layer], ratios.get(layer)
        if why is None and ratio is not None and ratio > 1:
            _return_to_keras(layer)
            why = f"Keras's own path is faster: the fused kernel takes {ratio:.2f} of its time"
        elif why is None:
            vars(layer)["inner_loop"] = MethodType(_inner_loop, layer)
        while address in report:  # names inside a custom layer need not differ
            address += "'"
        gained = "" if ratio is None else f", {ratio:.2f} of the time on Keras's own path"
        report[address] = why or f"{FAST}{gained}"
    return report


def decelerate(model: keras.Model) -> None:
    """Return all layers of ``model`` to Keras's own path.

    Raises:
        TypeError: if ``model`` is not a Keras model.
    """
    for _, layer in _layers(model):
        _return_to_keras(layer)


def _return_to_keras(layer: keras.layers.RNN) -> None:
    if _is_fast(layer):
        vars(layer).pop("inner_loop", None)  # another thread may have been faster


def _is_fast(layer: keras.layers.RNN) -> bool:
    return getattr(layer.inner_loop, "__func__", None) is _inner_loop


def _layers(model: keras.Model) -> Iterable[tuple[str, keras.layers.RNN]]:
    """Return the layers to change, having made sure that the model traces them again."""
    check_model(model)
    for traced in model._flatten_layers():
        if isinstance(traced, keras.Model):
            _forget_traces(traced)
    return recurrent_layers(model)


def _forget_traces(model: keras.Model) -> None:
    """Put new functions in the place of those traced; a ``fit`` that runs takes them at once."""
    for name in ("train_function", "test_function", "predict_function"):
        if getattr(model, name) is not None:
            getattr(model, f"make_{name}")(force=True)


def _why_not(layer: keras.layers.RNN) -> str | None:
    """Return why ``layer`` can't run on the kernel; None if it can."""
    base = next((base for base in _CELLS if isinstance(layer, base)), None)
    if base is None:
        return f"it is a {type(layer).__name__}, not a keras.layers.LSTM or GRU"
    if "inner_loop" in vars(layer) and not _is_fast(layer):
        return "its inner_loop has been replaced"
    if own := own_methods(layer, base):
        return f"it overrides {', '.join(own)}"
    cell, base_cell = layer.cell, _CELLS[base]
    if not isinstance(cell, base_cell):
        return f"its cell is a {type(cell).__name__}, not a keras.layers.{base_cell.__name__}"
    if own := own_methods(cell, base_cell):
        return f"its cell overrides {', '.join(own)}"
    if cell.compute_dtype != "float32":
        return f"it computes in {cell.compute_dtype}, not in float32"
    if not suits_kernel(cell):
        return "its activations are not keras.activations.tanh and sigmoid"
    if layer.recurrent_dropout:
        return "it has recurrent_dropout"
    if layer.dropout and cell.implementation == 1:
        return "it has dropout and implementation=1, which draws a mask for each gate"
    if layer.unroll:
        return "it is unrolled"
    if layer.use_cudnn is True:
        return "it has use_cudnn=True"
    if tf.config.list_logical_devices("GPU"):
        return "the machine has a GPU, where Keras uses cuDNN"
    return None


def _inner_loop(
    layer: keras.layers.RNN, sequences: Any, initial_state: Any, mask: Any, training: bool = False
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Do what the ``inner_loop`` of the layer's class does."""
    given = mask[0] if keras.tree.is_nested(mask) else mask
    if _why_not(layer) or not _suits(layer, sequences, initial_state, given):
        return type(layer).inner_loop(layer, sequences, initial_state, mask, training=training)
    # Of what is known nothing is asserted: TensorFlow removes the transposes between two layers
    # only if nothing stands between them.
    if sequences.shape[-1] is None:
        sequences = tf.ensure_shape(sequences, (None, None, layer.cell.kernel.shape[0]))
    size, steps = sequences.shape[:2]
    if training and 0 < layer.dropout < 1:
        sequences *= layer.cell.get_dropout_mask(sequences[:, 0])[:, tf.newaxis]
    rows, length = tf.unstack(tf.shape(sequences)[:2])
    states = [tf.broadcast_to(state, (rows, layer.units)) for state in initial_state]
    real = None
    if given is not None:
        message = "the mask and the sequences differ in length"
        tf.debugging.assert_equal(tf.shape(given)[1], length, message)
        real = tf.broadcast_to(tf.cast(given, bool), (rows, length))
    run = run_layer(layer, sequences, states, real, gates=False)
    run.outputs.set_shape((size, steps, layer.units))
    for state in (run.last, *run.final):
        state.set_shape((size, layer.units))
    return run.last, run.outputs, run.final


def _suits(
    layer: keras.layers.RNN,
    sequences: tf.Tensor,
    states: Sequence[tf.Tensor],
    mask: tf.Tensor | None,
) -> bool:
    """Tell whether the kernel takes these arguments of ``inner_loop``, here.

    What is of the wrong shape Keras itself refuses, or broadcasts in its own way.
    """
    size, steps = sequences.shape[:2]
    shapes = [
        (sequences, (None, None, layer.cell.kernel.shape[0])),
        *((state, (size, layer.units)) for state in states),
        *([] if mask is None else [(mask, (size, steps))]),
    ]
    return (
        all(tensor.dtype == tf.float32 for tensor in (sequences, *states))
        and all(tensor.shape.is_compatible_with(shape) for tensor, shape in shapes)
        and all(state.shape[-1] is not None for state in states)
        and not GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    )
