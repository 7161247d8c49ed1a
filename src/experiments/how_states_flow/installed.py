"""Measure what the installed Keras supports and does."""

from __future__ import annotations

import pkgutil
import warnings
from collections.abc import Callable, Sequence

import keras
import xarray as xr
from keras.src import backend as _backends

from experiments.shared.evidence import of_installed

NAMED = ("tensorflow", "theano")
"""The backends that the article names."""


def offered_backends() -> list[str]:
    """Return the numerical backends that the installed Keras has code for."""
    packages = [found.name for found in pkgutil.iter_modules(_backends.__path__) if found.ispkg]
    return [name for name in packages if name not in ("common", "tests", "config")]


def measure_backends(offered: Sequence[str]) -> xr.Dataset:
    """Say which of the named backends ``offered`` holds, and how many others.

    Returns:
        ``tensorflow_offered``, ``theano_offered`` (0 or 1) and ``others_offered`` (a number), each
        over ``model``, which has one entry, the installed version.
    """
    counts = {
        f"{name}_offered": (f"Keras offers the backend {name}", float(name in offered))
        for name in NAMED
    }
    others = [name for name in offered if name not in NAMED]
    counts["others_offered"] = (
        f"Other backends: {', '.join(others) or 'none'}",
        float(len(others)),
    )
    return of_installed(counts)


def measure_sizes_undefined(build: Callable[..., keras.Model]) -> xr.Dataset:
    """Call ``build(**sizes)``, which uses ``timesteps`` and ``features``, without and with sizes.

    Returns:
        ``runs_as_printed`` and ``runs_with_sizes`` (0 or 1) and ``warnings_with_sizes`` (a
        number), each over ``model``, which has one entry, the installed version.
    """
    without, _ = _runs(build)
    with_sizes, warned = _runs(build, timesteps=10, features=8)
    return of_installed(
        {
            "runs_as_printed": ("The example runs as it is printed", without),
            "runs_with_sizes": ("It runs once its two sizes are defined", with_sizes),
            "warnings_with_sizes": ("Warnings it then emits", float(warned)),
        }
    )


def measure_without_sequences(units: Sequence[int]) -> xr.Dataset:
    """Stack LSTM layers with and without ``return_sequences`` below the top.

    Returns:
        ``builds_with_sequences`` and ``builds_without_sequences`` (0 or 1), each over ``model``,
        which has one entry, the installed version.
    """

    def build(sequences: bool) -> keras.Model:
        below = [keras.layers.LSTM(width, return_sequences=sequences) for width in units[:-1]]
        return keras.Sequential([keras.Input((10, 8)), *below, keras.layers.LSTM(units[-1])])

    return of_installed(
        {
            "builds_with_sequences": (
                "A second layer accepts the output of one with return_sequences",
                _runs(build, sequences=True)[0],
            ),
            "builds_without_sequences": (
                "A second layer accepts the output of one without return_sequences",
                _runs(build, sequences=False)[0],
            ),
        }
    )


def _runs(build: Callable[..., keras.Model], **sizes: object) -> tuple[float, int]:
    """Return 1 if ``build`` works, else 0, and how often it warned."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            build(**sizes)
        except (NameError, ValueError):
            return 0.0, len(warned)
    return 1.0, len(warned)
