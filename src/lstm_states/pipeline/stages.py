"""The states of stages: what each is made from, as DVC sees it now and as dvc.lock tells it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dvc.repo import Repo
from dvc.stage.serialize import to_single_stage_lockfile

PARAMS = "params.yaml"


@dataclass(frozen=True)
class StageState:
    """What a stage is made from.

    Attributes:
        command: As dvc.yaml gives it.
        dependencies: DVC's md5 by path; None where there is no such file.
        parameters: Values by their names in params.yaml.
    """

    command: str
    dependencies: Mapping[str, str | None]
    parameters: Mapping[str, Any]

    @property
    def key(self) -> str:
        """A digest of all of it: equal states have equal keys."""
        whole = [self.command, dict(self.dependencies), dict(self.parameters)]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def locked_states(root: Path) -> dict[str, StageState]:
    """Return the states that dvc.lock tells, by stage; none where there is no dvc.lock."""
    path = root / "dvc.lock"
    stages = yaml.safe_load(path.read_text())["stages"] if path.is_file() else {}
    return {name: _state(entry) for name, entry in stages.items()}


def current_states(root: Path, *names: str) -> dict[str, StageState]:
    """Return the states that stages have now, all stages of dvc.yaml if none is named.

    Files are hashed as DVC does, which knows those that have not changed since.
    """
    with Repo(root) as repo:
        chosen = [repo.stage.load_one(name=name) for name in names] or repo.index.stages
        states = {}
        for stage in chosen:
            stage.save_deps(allow_missing=True)
            states[stage.addressing] = _state(to_single_stage_lockfile(stage))
        return states


def _state(entry: Mapping[str, Any]) -> StageState:
    dependencies = {dep["path"]: dep.get("md5") for dep in entry.get("deps", ())}
    return StageState(entry["cmd"], dependencies, entry.get("params", {}).get(PARAMS, {}))
