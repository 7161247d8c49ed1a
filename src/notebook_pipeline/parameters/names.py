"""Suggestions for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near_or_all(name: str, known: Iterable[str]) -> str:
    """Return words that name the nearest known name, or all of them where none is near."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names) or 'none'}"
