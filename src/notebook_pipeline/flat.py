"""Nested values by joined names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flattened(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value in nested JSON with its place, such as ``test.r2`` or ``rows[0]``."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flattened(inner, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from flattened(inner, f"{prefix}[{at}]")
    else:
        yield prefix, value
