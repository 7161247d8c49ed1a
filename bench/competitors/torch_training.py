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
    """Recurrent layers under one linear unit, which takes the last hidden state."""

    def __init__(self, case: Case, inputs: Inputs) -> None:
        super().__init__()
        self.padded = case.mask == "right"
        self.layers = torch.nn.ModuleList()
        kind = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU}[case.kind]
        for layer in inputs.by_layer(case):
            options = {"batch_first": True, "bidirectional": case.bidirectional}
            width, units = len(layer[0][0]), len(layer[0][1])
            self.layers.append(kind(width, units, **options))
            for direction, suffix in zip(layer, ("_l0", "_l0_reverse"), strict=False):
                set_layer(self.layers[-1], direction, suffix)
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
        for layer in self.layers:
            below, last = layer(below)
        hidden = last[0] if isinstance(last, tuple) else last  # an LSTM's has its cell besides
        return self.dense(torch.cat(tuple(hidden), dim=-1))  # of each direction


def prepare(case: Case, inputs: Inputs) -> Callable[[], Any]:
    """Return a function that takes one training step, or predicts one batch."""
    if case.mask == "random":
        raise CannotDoError("PyTorch takes lengths, not a mask with gaps")
    model = Stack(case, inputs)
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
