"""Inspect a model over data: one report of what its recurrent layers do, and of the traps it is in.

It stands on the library, which records and measures, and on its explorer. ``python -m
lstm_inspect`` does the same for files, without code. The public names are loaded on first use,
because importing TensorFlow takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_inspect.findings import Finding
    from lstm_inspect.inspection import Inspection, inspect_model

_HOMES = {"Finding": "findings", "Inspection": "inspection", "inspect_model": "inspection"}

__all__ = ["Finding", "Inspection", "inspect_model"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
