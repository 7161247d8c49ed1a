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
    """Give an LSTM module the weights of one layer: Keras's, transposed, in the same gate order."""
    kernel, recurrent, bias = (torch.from_numpy(weight) for weight in layer)
    with torch.no_grad():
        getattr(module, "weight_ih" + suffix).copy_(kernel.T)
        getattr(module, "weight_hh" + suffix).copy_(recurrent.T)
        getattr(module, "bias_ih" + suffix).copy_(bias)
        getattr(module, "bias_hh" + suffix).zero_()


def dense(inputs: Inputs, h: torch.Tensor) -> np.ndarray:
    """Return the outputs ``(sample, 1)`` for the last hidden state ``(sample, unit)``."""
    kernel, bias = (torch.from_numpy(weight) for weight in inputs.dense)
    return (h @ kernel + bias).numpy()
