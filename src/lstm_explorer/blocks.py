"""Pack arrays into the bytes of a page: numbers as small integers, each array with its scale."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import numpy as np

NOTHING = {1: 0xFF, 2: 0xFFFF}
"""The code that stands for no value, by the number of bytes."""


class Blocks:
    """One run of bytes, to which arrays are added; ``contract.ts`` says how a page reads them."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add_numbers(self, values: np.ndarray, *, digits: int = 1) -> dict[str, Any]:
        """Add numbers, rounded to a part of their range, and return the block.

        Args:
            values: Finite, or NaN where there is no value.
            digits: The bytes of a code: with 1 the largest error is 1/508 of the range, with 2
                1/131,068.
        """
        most = NOTHING[digits] - 1
        there = np.isfinite(values)
        low, high = (values[there].min(), values[there].max()) if there.any() else (0.0, 0.0)
        low, step = float(low), float(high - low) / most
        scaled = np.where(there, values - low, 0.0) / (step or 1.0)
        return self._add(np.where(there, np.rint(scaled), NOTHING[digits]), digits, low, step)

    def add_codes(self, codes: np.ndarray, *, digits: int = 1) -> dict[str, Any]:
        """Add whole numbers from 0 on, as they are, and return the block."""
        return self._add(codes, digits, 0.0, 1.0)

    def _add(self, codes: np.ndarray, digits: int, low: float, step: float) -> dict[str, Any]:
        at = self._size
        part = codes.astype(f"<u{digits}").tobytes()
        self._parts.append(part)
        self._size += len(part)
        shape = list(codes.shape)
        return {"at": at, "bytes": digits, "shape": shape, "low": low, "step": step}

    def text(self) -> str:
        """Return all bytes, compressed, as text; the same arrays give the same text."""
        return base64.b64encode(gzip.compress(b"".join(self._parts), 9, mtime=0)).decode("ascii")
