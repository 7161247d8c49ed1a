"""Parameters by which sweeps name stacks."""

from __future__ import annotations

from typing import Any

from notebook_pipeline.parameters.strict import Count, Strict


class StackSize(Strict):
    """A stack of layers that are as wide as each other.

    Attributes:
        depth: Number of LSTM layers.
        width: Units of each.
    """

    depth: Count
    width: Count

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of a configuration that a size stands for."""
        return {"units": [self.width] * self.depth}


UNREAD = {"seeds": [0], "trace_samples": 1, "resamples": 100}
"""Parameters of a configuration that no point reads, with values that its schema accepts."""
