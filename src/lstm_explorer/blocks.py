"""Pack arrays into the bytes of a page: numbers as small integers, each column with its scale."""

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

    def add_numbers(self, *parts: np.ndarray, digits: int = 1) -> dict[str, Any]:
        """Add arrays of one shape, one after the other, and return the block.

        Numbers are rounded to a part of the range that their column, the last axis, has in their
        array: one large unit leaves the others their digits.

        Args:
            parts: ``(sample, ..., column)``; what isn't finite is no value.
            digits: The bytes of a code: with 1 the largest error is 1/508 of the range, with 2
                1/131,068.
        """
        most = NOTHING[digits] - 1
        packed, lows, steps = [], [], []
        for part in parts:
            values = part.astype(np.float64)  # differences of large or half numbers overflow
            there = np.isfinite(values)
            axes = tuple(range(values.ndim - 1))
            low = np.where(there, values, np.inf).min(axes)
            high = np.where(there, values, -np.inf).max(axes)
            low, high = (np.where(there.any(axes), end, 0.0) for end in (low, high))
            step = high / most - low / most
            scaled = (np.where(there, values, low) - low) / np.where(step > 0, step, 1.0)
            codes = np.where(there, np.rint(scaled).clip(0, most), NOTHING[digits]).astype(int)
            # From step to step little changes: its changes compress better, modulo all codes.
            packed.append(np.diff(codes, axis=1, prepend=0) if codes.ndim == 3 else codes)
            lows += low.tolist()
            steps += step.tolist()
        return self._add(np.concatenate(packed), digits, lows, steps)

    def add_codes(self, codes: np.ndarray, *, digits: int = 1) -> dict[str, Any]:
        """Add whole numbers from 0 on, ``(sample, time)``, as they are, and return the block."""
        return self._add(codes, digits, [0.0], [1.0])

    def _add(
        self, codes: np.ndarray, digits: int, lows: list[float], steps: list[float]
    ) -> dict[str, Any]:
        at = self._size
        part = codes.astype(f"<u{digits}").tobytes()
        self._parts.append(part)
        self._size += len(part)
        return {"at": at, "bytes": digits, "shape": codes.shape, "low": lows, "step": steps}

    def text(self) -> str:
        """Return all bytes, compressed, as text; the same arrays give the same text."""
        return base64.b64encode(gzip.compress(b"".join(self._parts), 9, mtime=0)).decode("ascii")
