"""Write files of arrays that are whole or not there, whatever cuts the writing short."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name to ``path``, a NumPy archive without pickles, and replace an older one.

    After an error, a kill or a power cut, ``path`` is the older file or the new one.
    """
    # Of this process alone: two that write to one path don't mix.
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name and no content
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
