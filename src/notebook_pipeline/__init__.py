"""Run notebooks as stages of a DVC pipeline, with runs in MLflow and readable reports.

A notebook needs three functions: ``read_parameters``, ``start_results`` and, at its end,
``expectations_table``. README.md in this folder shows a start in five minutes.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from notebook_pipeline.departures import expectations_table
    from notebook_pipeline.parameters.file import load_parameters, read_parameters
    from notebook_pipeline.repository import project_root
    from notebook_pipeline.results import Results, start_results

# nbformat imports jsonschema, which imports this to check addresses that no notebook holds. It
# compiles a grammar, which is 40 % of the start of a stage.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

_HOMES = {
    "Results": "results",
    "expectations_table": "departures",
    "load_parameters": "parameters.file",
    "project_root": "repository",
    "read_parameters": "parameters.file",
    "start_results": "results",
}

__all__ = [
    "Results",
    "expectations_table",
    "load_parameters",
    "project_root",
    "read_parameters",
    "start_results",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds ``name`` when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
