"""What trials hand over: values by model, each with what it is in words and its unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps

import keras
import numpy as np
import xarray as xr

Says = Mapping[str, tuple[str, str]]
"""By the name of what is measured, what it is in words and its unit."""

Measure = Callable[[keras.Model, np.ndarray], dict[str, float]]


def as_evidence(rows: Mapping[str, Mapping[str, float]], says: Says) -> xr.Dataset:
    """Return what was measured as a Dataset over ``model``.

    Args:
        rows: By the name of a model, a seed or a case, the values by name.
        says: The names to take, in this order.
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
    """Return what was found of the installed Keras, the one entry of ``model``.

    Args:
        values: By name what it is in words, and the value.
    """
    row = {name: value for name, (_, value) in values.items()}
    says = {name: (words, "1") for name, (words, _) in values.items()}
    return as_evidence({f"Keras {keras.version()}": row}, says)


def for_each_model(
    **says: tuple[str, str],
) -> Callable[[Measure], Callable[[Mapping[str, keras.Model], np.ndarray], xr.Dataset]]:
    """Turn a measurement of one model into one of several.

    Args:
        says: By the name of what is measured, what it is in words and its unit.

    Returns:
        A decorator: the function then takes models by name and returns a Dataset with the
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
    """Return 1 if ``act`` raises one of ``errors``, else 0; others are raised on."""
    try:
        act()
    except errors:
        return 1.0
    return 0.0
