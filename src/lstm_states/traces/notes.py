"""Note what a recording leaves out, and where its states become NaN."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from lstm_states.traces.cell_trace import CellTrace


@dataclass
class Notes:
    """What a user should know of a recording besides its numbers.

    Args:
        left_out: By address, why a layer isn't recorded that wasn't asked for.
        chosen: The samples that are recorded; None if all are.
        samples: How many of them are recorded.
        missed: By name, what ran in the model and could not be recorded.
        nan: By address of a cell, where its first NaN is, as Keras itself has it there.
        cause: What is known of the first of them.
    """

    left_out: dict[str, str]
    chosen: np.ndarray | None = None
    samples: int = 0
    missed: dict[str, str] = field(default_factory=dict)
    nan: dict[str, str] = field(default_factory=dict)
    cause: str = ""

    def add_nan(self, model: keras.Model, x: Any, nodes: Mapping[str, CellTrace]) -> None:
        """Note where the cells first give NaN; ``nodes`` say what they did with ``x``."""
        size = len(keras.tree.flatten(x)[0])
        for address, node in nodes.items():
            steps = np.asarray(node.probe.nan)
            rows = np.flatnonzero(steps >= 0)
            if rows.size and address not in self.nan:
                sample = self._sample(rows[0]) if len(steps) == size else f"row {rows[0]}"
                self.nan[address] = f"{sample}, step {steps[rows[0]]}"
                self.cause = self.cause or _cause(model, x)
        self.samples += size

    def _sample(self, row: int) -> str:
        place = self.samples + row
        return f"sample {place if self.chosen is None else self.chosen[place]}"

    def attrs(self) -> dict[str, list[str]]:
        """Return what the root of a tree says of it, a line each."""
        left = {**self.left_out, **self.missed}
        lines = {"not_recorded": [f"{name}: {why}" for name, why in left.items()]}
        if self.nan:
            lines["first_nan"] = [f"{address}: {where}" for address, where in self.nan.items()]
        return lines

    def warn(self, stacklevel: int) -> None:
        """Warn of what was not asked for: parts that are missing, states that are NaN."""
        if self.missed:
            parts = "; ".join(f"{name}: {why}" for name, why in self.missed.items())
            message = f"not everything recurrent is recorded: {parts}"
            warnings.warn(message, stacklevel=stacklevel + 1)
        if self.nan:
            places = "; ".join(f"layer {a!r} from {where}" for a, where in self.nan.items())
            message = f"states are NaN, as in Keras itself: {places}. {self.cause}"
            warnings.warn(message, stacklevel=stacklevel + 1)


def _cause(model: keras.Model, x: Any) -> str:
    for array in map(np.asarray, keras.tree.flatten(x)):
        if array.dtype.kind == "f" and np.isnan(array).any():
            return "x holds NaN"
    weights = [w.path for w in model.weights if np.isnan(np.asarray(w, "float64")).any()]
    if weights:
        return f"The weights {weights} hold NaN"
    return "x and the weights hold no NaN: the model creates it, for example by exploding states"
