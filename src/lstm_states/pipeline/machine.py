"""The class of a machine: what decides whether equal computations give equal bits."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

import numpy as np

PACKAGES = ("keras", "matplotlib", "numpy", "scikit-learn", "scipy", "tensorflow", "xarray")
"""Packages whose versions decide what is computed and drawn."""


def machine_class() -> dict[str, Any]:
    """Return processor, its vector extensions, cores, system, Python and library versions.

    Runs on machines of equal classes give equal bytes; on others they may differ by rounding,
    which training makes larger.
    """
    features = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "processor": platform.machine(),
        "features": [*features["baseline"], *features["found"]],
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "threads": {
            name: os.environ[name]
            for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTEROP_THREADS")
            if name in os.environ
        },
    }


def class_difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Say in what two classes differ, such as "cores 2 for 16"; empty if in nothing."""
    return ", ".join(
        f"{key} {one.get(key)} for {other.get(key)}" for key in one if one[key] != other.get(key)
    )
