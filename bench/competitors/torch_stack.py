"""PyTorch set up at its best for a CPU, and the weights of a case in its form."""

from __future__ import annotations

import os

import numpy as np
import torch

from bench.inputs import Inputs

PACKAGES = ("torch", "numpy")

torch.set_num_threads(os.cpu_count() or 1)
# Without it the long sequences take five times as long: decayed states become denormal numbers.
torch.set_flush_denormal(True)


def set_layer(module: torch.nn.Module, layer: tuple[np.ndarray, ...], suffix: str = "") -> None:
    """Give a module the weights of one direction of one layer: Keras's, transposed.

    The gates of an LSTM stand in the same order. Those of a GRU are r, z, g in PyTorch and z, r, g
    in Keras, which has a bias for each of the two products, too, as PyTorch has of both kinds.
    """
    kernel, recurrent, bias = layer
    biases = (bias, np.zeros_like(bias)) if bias.ndim == 1 else tuple(bias)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    with torch.no_grad():
        for name, weight in zip(names, (kernel, recurrent, *biases), strict=True):
            if bias.ndim == 2:
                z, r, g = np.split(weight, 3, axis=-1)
                weight = np.concatenate([r, z, g], axis=-1)
            getattr(module, name + suffix).copy_(torch.from_numpy(weight.T))


def dense(inputs: Inputs, h: torch.Tensor) -> np.ndarray:
    """Return the outputs ``(sample, 1)`` for the last hidden state ``(sample, unit)``."""
    kernel, bias = (torch.from_numpy(weight) for weight in inputs.dense)
    return (h @ kernel + bias).numpy()
