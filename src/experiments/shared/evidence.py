"""Evidence of the experiments: values by model, each with a description and a unit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from notebook_pipeline.conditions import span

if TYPE_CHECKING:  # experiments without a network need not wait for TensorFlow
    import keras

MOVED = 1e-9
"""A change above it is one, in double precision; rounding stays far below."""


Says = Mapping[str, tuple[str, str]]
"""By the name of what is measured, what it is in words and its unit."""

Kept = Mapping[str, Mapping[str, Any]]
"""By the name of a measure ``values`` by model and what it ``says``, as evidence.json has them."""

Measure = Callable[["keras.Model", np.ndarray], dict[str, float]]


def as_evidence(rows: Mapping[str, Mapping[str, float]], says: Says) -> xr.Dataset:
    """Return measured values as a Dataset over ``model``.

    Args:
        rows: By the name of a model, a seed or a case, the values by name.
        says: The description and unit of each value to keep, in this order.
    """
    data = {
        name: (
            "model",
            [float(row[name]) for row in rows.values()],
            {"long_name": words, "units": unit},
        )
        for name, (words, unit) in says.items()
    }
    return xr.Dataset(data, coords={"model": list(rows)})


def of_installed(values: Mapping[str, tuple[str, float]]) -> xr.Dataset:
    """Return values measured on the installed Keras, which is the only entry of ``model``.

    Args:
        values: By name, the description and the value.
    """
    row = {name: value for name, (_, value) in values.items()}
    says = {name: (words, "1") for name, (words, _) in values.items()}
    return as_evidence({f"Keras {version('keras')}": row}, says)


def for_each_model(
    **says: tuple[str, str],
) -> Callable[[Measure], Callable[[Mapping[str, keras.Model], np.ndarray], xr.Dataset]]:
    """Turn a measurement of one model into one of several models.

    Args:
        says: By the name of a measure, its description and unit.

    Returns:
        A decorator: the function then accepts models by name and returns a Dataset with the
        dimension ``model``, each variable with ``long_name`` and ``units``.
    """

    def decorate(measure: Measure) -> Callable[[Mapping[str, keras.Model], np.ndarray], xr.Dataset]:
        @wraps(measure)
        def over(models: Mapping[str, keras.Model], x: np.ndarray) -> xr.Dataset:
            rows = {name: measure(model, x) for name, model in models.items()}
            return as_evidence(rows, says)

        return over

    return decorate


def refused(act: Callable[[], object], *errors: type[Exception]) -> float:
    """Return 1 if ``act`` raises one of ``errors``, else 0; other errors propagate."""
    try:
        act()
    except errors:
        return 1.0
    return 0.0


def values_of(kept: Kept, *measures: str) -> list[float]:
    """Return the values of measures over all models."""
    return [value for measure in measures for value in kept[measure]["values"].values()]


def span_of(kept: Kept, *measures: str) -> str:
    """Return the range of measures over all models, in words."""
    return re.sub(r"(?<!e)-", "−", span(values_of(kept, *measures)))


def in_which(kept: Kept, measures: Mapping[str, str]) -> str:
    """Name the things that move: in all models, and in some models only.

    Args:
        kept: The evidence.
        measures: By the name of a thing, the measure of its move.

    Returns:
        Words such as "`h` alone", "`h` and `c`" or "neither `h` nor `c`".
    """
    moved = {name: [abs(v) > MOVED for v in values_of(kept, m)] for name, m in measures.items()}
    always = [name for name, found in moved.items() if all(found)]
    sometimes = [name for name, found in moved.items() if any(found) and not all(found)]
    if len(always) == 1 and not sometimes and len(moved) > 1:
        return f"{always[0]} alone"
    named = " and ".join([*always, *(f"(in some models) {name}" for name in sometimes)])
    return named or f"neither {' nor '.join(moved)}"
