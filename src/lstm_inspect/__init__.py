"""Inspect a model over data: one report of what its recurrent layers do, and of the traps it is in.

It stands on the library, which records and measures, and on its explorer. ``python -m
lstm_inspect`` does the same for files, without code.
"""

from lstm_inspect.findings import Finding
from lstm_inspect.inspection import Inspection, inspect_model

__all__ = ["Finding", "Inspection", "inspect_model"]
