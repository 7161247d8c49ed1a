"""Points that have been computed, each in a file of its own, for this and for later sweeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notebook_pipeline.stages.outputs import replace_text

FOLDER = "reports/points"
"""Where they are. No output of DVC, which would take it away; git ignores it."""


@dataclass(frozen=True)
class KeptPoints:
    """The points that were made from the same code and data, in the same environment.

    Attributes:
        root: The repository.
        made_from: All that decides what a point gives, its parameters and its seed apart.
    """

    root: Path
    made_from: Mapping[str, Any]

    def read(self, parameters: Mapping[str, Any], seed: int) -> dict[str, float | None] | None:
        """Return the numbers of a point; None if it has to be computed."""
        # A file that isn't JSON is damaged, and counts as none.
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            kept = json.loads(self._file(parameters, seed).read_text(encoding="utf-8"))
            metrics: dict[str, float | None] = kept["metrics"]
            return metrics
        return None

    def write(
        self, parameters: Mapping[str, Any], seed: int, metrics: Mapping[str, float | None]
    ) -> None:
        """Keep the numbers of a point, whole or not at all."""
        path = self._file(parameters, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {"parameters": dict(parameters), "seed": seed, "metrics": dict(metrics)}
        replace_text(path, json.dumps(kept, indent=2) + "\n")

    def drop(self, parameters: Mapping[str, Any], seed: int) -> None:
        """Keep a point no longer."""
        self._file(parameters, seed).unlink(missing_ok=True)

    def _file(self, parameters: Mapping[str, Any], seed: int) -> Path:
        whole = [dict(self.made_from), dict(parameters), seed]
        key = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
        return self.root / FOLDER / f"{key}.json"
