"""PyTorch's fused layer, which gives the hidden states alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bench.cases import Case
from bench.competitors import CannotDoError
from bench.competitors.batches import each_batch
from bench.competitors.torch_stack import PACKAGES as PACKAGES
from bench.competitors.torch_stack import dense, set_layer
from bench.inputs import Inputs


def prepare(case: Case, inputs: Inputs) -> Callable[[], list[np.ndarray]]:
    """Return a function that runs layer after layer, so that every h can be had."""
    if case.mask == "random":
        raise CannotDoError("nn.LSTM takes lengths, not a mask with gaps")
    layers = [_layer(weights) for weights in inputs.layers]

    @torch.inference_mode()
    def step(x: np.ndarray) -> list[np.ndarray]:
        below: Any = torch.from_numpy(x)
        if case.mask == "right":
            lengths = torch.from_numpy((x != 0).any(-1).sum(1))
            below = pack_padded_sequence(below, lengths, batch_first=True, enforce_sorted=False)
        hidden = []
        for layer in layers:
            below, (last, _) = layer(below)
            hidden.append(_padded(below, case.steps).numpy())
        return [dense(inputs, last[0]), *hidden]

    return lambda: each_batch(step, inputs.x, case.batch)


def _layer(weights: tuple[np.ndarray, ...]) -> torch.nn.LSTM:
    layer = torch.nn.LSTM(len(weights[0]), len(weights[1]), batch_first=True)
    set_layer(layer, weights, "_l0")
    return layer


def _padded(hidden: Any, steps: int) -> torch.Tensor:
    if isinstance(hidden, torch.Tensor):
        return hidden
    return pad_packed_sequence(hidden, batch_first=True, total_length=steps)[0]


def arrays(result: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return every h by layer number, and the outputs."""
    outputs, *hidden = result
    return {"outputs": outputs, **{f"{n}/hidden": h for n, h in enumerate(hidden)}}
