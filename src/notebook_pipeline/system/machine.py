"""The class of a machine, which decides whether equal computations produce equal bits."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.system.environment import HARDWARE


def machine_class(packages: Iterable[str]) -> dict[str, Any]:
    """Return what decides the bits: processor, vector extensions, threads, system, versions.

    Runs on machines of equal classes give equal bytes; on others they may differ by rounding,
    which training makes larger. The processor is named because libraries cut their sums into
    blocks that fit its caches.

    Args:
        packages: Those whose versions decide what is computed, drawn and stored.

    Raises:
        ConfigError: naming one that is not installed.
    """
    features = np.show_config(mode="dicts")["SIMD Extensions"]
    blas = {
        f"{pool['internal_api']} for {pool['architecture']}, {pool['num_threads']} threads"
        for pool in threadpoolctl.threadpool_info()
        if pool["user_api"] == "blas"
    }
    return {
        "processor": _processor(),
        "features": [*features["baseline"], *features["found"]],
        "cores": _cores(),
        "gpus": sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*")),
        "system": " ".join(filter(None, (platform.system(), *platform.libc_ver()))),
        "python": platform.python_version(),
        "blas": sorted(blas),
        "packages": {name: _version(name) for name in packages},
        "switches": {k: text for k, text in sorted(os.environ.items()) if k.startswith(HARDWARE)},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        raise ConfigError(
            f"the project names the package {package!r}, which isn't installed"
        ) from None


def class_difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Say in what two classes differ, such as "cores 2 for 16"; empty if in nothing."""
    a, b = _flat(one), _flat(other)
    return ", ".join(
        f"{name} {a.get(name, 'none')} for {b.get(name, 'none')}"
        for name in dict.fromkeys([*a, *b])
        if a.get(name) != b.get(name)
    )


def _flat(machine: dict[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in machine.items():
        if isinstance(value, dict):
            flat |= {inner: str(text) for inner, text in value.items()}
        else:
            flat[name] = " ".join(value) or "none" if isinstance(value, list) else str(value)
    return flat


def _processor() -> str:
    """Return the architecture, and the model where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.is_file() else ""
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return f"{platform.machine()} {model[1] if model else platform.processor()}".strip()


def _cores() -> int:
    """Return how many cores this process may use; macOS tells only how many there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
