"""PyTorch's fused layer, trained and predicting; the outputs alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from bench.cases import Case
from bench.competitors import CannotDoError
from bench.competitors.torch_stack import PACKAGES as PACKAGES
from bench.competitors.torch_stack import set_layer
from bench.inputs import Inputs


class Stack(torch.nn.Module):
    """LSTM layers under one linear unit, which takes the last hidden state."""

    def __init__(self, inputs: Inputs, *, padded: bool) -> None:
        super().__init__()
        self.padded = padded
        self.lstms = torch.nn.ModuleList()
        for layer in inputs.layers:
            self.lstms.append(torch.nn.LSTM(len(layer[0]), len(layer[1]), batch_first=True))
            set_layer(self.lstms[-1], layer, "_l0")
        kernel, bias = inputs.dense
        self.dense = torch.nn.Linear(*kernel.shape)
        with torch.no_grad():
            self.dense.weight.copy_(torch.from_numpy(kernel.T))
            self.dense.bias.copy_(torch.from_numpy(bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``(sample, 1)`` for ``x (sample, time, feature)``."""
        below: Any = x
        if self.padded:
            lengths = (x != 0).any(-1).sum(1)
            below = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        for lstm in self.lstms:
            below, (last, _) = lstm(below)
        return self.dense(last[0])


def prepare(case: Case, inputs: Inputs) -> Callable[[], Any]:
    """Return a function that takes one training step, or predicts one batch."""
    if case.mask == "random":
        raise CannotDoError("nn.LSTM takes lengths, not a mask with gaps")
    model = Stack(inputs, padded=case.mask == "right")
    optimizer = torch.optim.Adam(model.parameters(), eps=1e-7)  # Keras's

    def train() -> float:
        optimizer.zero_grad()
        x, y = torch.from_numpy(inputs.x), torch.from_numpy(inputs.y)
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    @torch.inference_mode()
    def predict() -> np.ndarray:
        return model(torch.from_numpy(inputs.x)).numpy()

    return train if case.work == "train" else predict


def arrays(result: Any) -> dict[str, np.ndarray]:
    """Return the loss before the step, or the outputs."""
    return {"outputs": result} if np.ndim(result) else {"loss": np.atleast_1d(result)}
