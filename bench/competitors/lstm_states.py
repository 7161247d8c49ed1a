"""This project: every quantity of every layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from bench.cases import Case
from bench.competitors.keras_stack import build_model
from bench.inputs import QUANTITIES, Inputs
from lstm_states import record_traces

PACKAGES = ("lstm-states", "keras", "tensorflow", "xarray", "numpy")


def prepare(case: Case, inputs: Inputs) -> Callable[[], xr.DataTree]:
    """Return a function that records the whole tree."""
    model = build_model(case, inputs)
    return lambda: record_traces(model, inputs.x, batch_size=case.batch)


def arrays(result: xr.DataTree) -> dict[str, np.ndarray]:
    """Return all quantities by layer number, and the outputs."""
    values = {"outputs": result["outputs"].values}
    for n, node in enumerate(result.children.values()):
        values |= {f"{n}/{name}": node[name].values for name in QUANTITIES}
    return values
