"""Run the stock LSTM layers of a Keras model on the fused kernel, in training and prediction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MethodType
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

from lstm_states.kernels.block import suits_block
from lstm_states.kernels.layer import run_layer
from lstm_states.layers import recurrent_layers

FAST = "fused kernel"
"""What :func:`accelerate` says of a layer that runs on the kernel."""


def accelerate(model: keras.Model) -> dict[str, str]:
    """Have every ``keras.layers.LSTM`` of ``model`` run on the fused kernel where that is exact.

    ``fit``, ``evaluate``, ``predict`` and custom loops become faster; results are the same to
    rounding, gradients of any order included. The model stays what it was: same classes, weights
    and config. It is saved, loaded and cloned as before, and what is loaded or cloned runs as stock
    Keras. Layers added later are found by another call; a ``tf.function`` that has already traced
    the model keeps what it traced.

    TensorFlow by default also cuts the small products of each step among its threads, which costs
    more than it gives here. Give it one thread within an operation before anything else runs:
    ``tf.config.threading.set_intra_op_parallelism_threads(1)``.

    Args:
        model: Any model; layers are found inside ``Bidirectional`` and nested models too.

    Returns:
        By address of each recurrent layer, :data:`FAST`, or why it stays on Keras's own path.
        The layer decides anew each time Keras traces it, and also takes Keras's path where it is
        given numbers that are not float32.

    Raises:
        TypeError: if ``model`` is no Keras model.
    """
    report: dict[str, str] = {}
    for address, layer in _layers(model):
        why = _why_not(layer)
        if isinstance(layer, keras.layers.LSTM) and why is None:
            vars(layer)["inner_loop"] = MethodType(_inner_loop, layer)
        while address in report:  # names inside a custom layer need not differ
            address += "'"
        report[address] = why or FAST
    return report


def decelerate(model: keras.Model) -> None:
    """Put all layers of ``model`` back on Keras's own path.

    Raises:
        TypeError: if ``model`` is no Keras model.
    """
    for _, layer in _layers(model):
        if _is_fast(layer):
            del vars(layer)["inner_loop"]


def _is_fast(layer: keras.layers.RNN) -> bool:
    return getattr(layer.inner_loop, "__func__", None) is _inner_loop


def _layers(model: keras.Model) -> Iterable[tuple[str, keras.layers.RNN]]:
    """Return the layers to change, having made sure that the model traces them anew."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, not {type(model).__name__}")
    models = [layer for layer in model._flatten_layers() if isinstance(layer, keras.Model)]
    for traced in models:
        traced.train_function = traced.test_function = traced.predict_function = None
    return recurrent_layers(model)


def _why_not(layer: keras.layers.RNN) -> str | None:
    """Return why ``layer`` can't run on the kernel; None if it can."""
    cell = layer.cell
    if type(layer).inner_loop is not keras.layers.LSTM.inner_loop:
        return f"it is a {type(layer).__name__}, not a keras.layers.LSTM"
    if "inner_loop" in vars(layer) and not _is_fast(layer):
        return "its inner_loop has been replaced"
    if type(cell) is not keras.layers.LSTMCell or "call" in vars(cell):
        return f"its cell is a {type(cell).__name__} of its own kind"
    if cell.compute_dtype != "float32":
        return f"it computes in {cell.compute_dtype}, not in float32"
    if not suits_block(cell):
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
        return "there is a GPU, where Keras uses cuDNN"
    return None


def _inner_loop(
    layer: keras.layers.LSTM, sequences: Any, initial_state: Any, mask: Any, training: bool = False
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Do what ``keras.layers.LSTM.inner_loop`` does."""
    given = mask[0] if keras.tree.is_nested(mask) else mask
    if _why_not(layer) or not _suits(sequences, initial_state, given):
        return type(layer).inner_loop(layer, sequences, initial_state, mask, training=training)
    sequences = tf.ensure_shape(sequences, (None, None, layer.cell.kernel.shape[0]))
    if training and 0 < layer.dropout < 1:
        sequences *= layer.cell.get_dropout_mask(sequences[:, 0])[:, tf.newaxis]
    size, steps = tf.unstack(tf.shape(sequences)[:2])
    states = [tf.broadcast_to(state, (size, layer.units)) for state in initial_state]
    real = None
    if given is not None:
        message = "the mask and the sequences differ in length"
        tf.debugging.assert_equal(tf.shape(given)[1], steps, message)
        real = tf.broadcast_to(tf.cast(given, bool), (size, steps))
    run = run_layer(layer, sequences, states, real)
    return run.last, run.outputs, run.final


def _suits(sequences: tf.Tensor, states: Sequence[tf.Tensor], mask: tf.Tensor | None) -> bool:
    """Tell whether the kernel takes these arguments of ``inner_loop``, here."""
    exact = all(tensor.dtype == tf.float32 for tensor in (sequences, *states))
    by_step = mask is None or len(mask.shape) == 2
    return exact and by_step and not GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
