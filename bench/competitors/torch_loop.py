"""A Python loop over PyTorch's cell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bench.cases import Case
from bench.competitors.batches import each_batch
from bench.competitors.torch_stack import PACKAGES as PACKAGES
from bench.competitors.torch_stack import dense, set_layer
from bench.inputs import Inputs


def prepare(case: Case, inputs: Inputs) -> Callable[[], list[np.ndarray]]:
    """Return a function that loops over layers and steps."""
    cells = []
    for layer in inputs.layers:
        cells.append(torch.nn.LSTMCell(len(layer[0]), len(layer[1])))
        set_layer(cells[-1], layer)

    @torch.inference_mode()
    def step(x: np.ndarray) -> list[np.ndarray]:
        mask = None if case.mask == "none" else torch.from_numpy((x != 0).any(-1, keepdims=True))
        h, states = torch.from_numpy(x), []
        for cell in cells:
            h, c = _loop(cell, h, mask)
            states += [h, c]
        return [dense(inputs, h[:, -1]), *(state.numpy() for state in states)]

    return lambda: each_batch(step, inputs.x, case.batch)


def _loop(
    cell: torch.nn.LSTMCell, x: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    h = c = torch.zeros(len(x), cell.hidden_size)
    hs, cs = [], []
    for t in range(x.shape[1]):
        next_h, next_c = cell(x[:, t], (h, c))
        h = next_h if mask is None else torch.where(mask[:, t], next_h, h)
        c = next_c if mask is None else torch.where(mask[:, t], next_c, c)
        hs.append(h)
        cs.append(c)
    return torch.stack(hs, 1), torch.stack(cs, 1)


def arrays(result: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Return every h and c by layer number, and the outputs."""
    outputs, *states = result
    names = [f"{n}/{name}" for n in range(len(states) // 2) for name in ("hidden", "cell")]
    return {"outputs": outputs, **dict(zip(names, states, strict=True))}
