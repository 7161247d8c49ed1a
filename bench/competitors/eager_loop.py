"""An eager Python loop over the layers' own cells."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from bench.cases import Case
from bench.competitors.batches import each_batch
from bench.competitors.keras_stack import PACKAGES as PACKAGES
from bench.competitors.keras_stack import build_model
from bench.inputs import Inputs


def prepare(case: Case, inputs: Inputs) -> Callable[[], list[np.ndarray]]:
    """Return a function that loops over layers and steps."""
    model = build_model(case, inputs)
    cells = [layer.cell for layer in model.layers if isinstance(layer, keras.layers.LSTM)]

    def step(x: np.ndarray) -> list[np.ndarray]:
        mask = None if case.mask == "none" else tf.constant((x != 0).any(-1, keepdims=True))
        h, states = tf.constant(x), []
        for cell in cells:
            h, c = _loop(cell, h, mask)
            states += [h, c]
        return [model.layers[-1](h[:, -1]).numpy(), *(state.numpy() for state in states)]

    return lambda: each_batch(step, inputs.x, case.batch)


def _loop(
    cell: keras.layers.LSTMCell, x: tf.Tensor, mask: tf.Tensor | None
) -> tuple[tf.Tensor, tf.Tensor]:
    h = c = tf.zeros((len(x), cell.units))
    hs, cs = [], []
    for t in range(x.shape[1]):
        _, (next_h, next_c) = cell(x[:, t], [h, c])
        h = next_h if mask is None else tf.where(mask[:, t], next_h, h)
        c = next_c if mask is None else tf.where(mask[:, t], next_c, c)
        hs.append(h)
        cs.append(c)
    return tf.stack(hs, 1), tf.stack(cs, 1)


def arrays(result: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return every h and c by layer number, and the outputs."""
    outputs, *states = result
    names = [f"{n}/{name}" for n in range(len(states) // 2) for name in ("hidden", "cell")]
    return {"outputs": outputs, **dict(zip(names, states, strict=True))}
