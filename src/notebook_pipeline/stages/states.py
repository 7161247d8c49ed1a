"""The inputs of stages, as DVC sees them now and as dvc.lock recorded them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.stage.serialize import to_single_stage_lockfile
from dvc.utils.serialize import load_yaml

from notebook_pipeline.errors import ReproError
from notebook_pipeline.project import project_of
from notebook_pipeline.stages.rwlock import drop_torn_rwlock

PARAMS = "params.yaml"


@dataclass(frozen=True)
class StageInputs:
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
    def flat_parameters(self) -> dict[str, Any]:
        """The parameters by full names, such as ``sixes.rolls``."""
        return {
            f"{section}.{name}": value
            for section, values in self.parameters.items()
            for name, value in values.items()
        }

    @property
    def key(self) -> str:
        """A digest of all of it: equal states have equal keys."""
        whole = [self.command, dict(self.dependencies), dict(self.parameters)]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def open_repo(root: Path) -> Iterator[Repo]:
    """Yield DVC's view of a repository, in the working directory from which it names stages.

    Raises:
        ReproError: if DVC refuses what it is asked, or dvc.yaml itself.
    """
    drop_torn_rwlock(root)
    try:
        with contextlib.chdir(root), Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        raise ReproError(str(error)) from error


def stages_of(repo: Repo) -> list[PipelineStage]:
    """Return the stages of dvc.yaml; what `dvc add` keeps, in a .dvc file each, is none."""
    return [stage for stage in repo.index.stages if isinstance(stage, PipelineStage)]


def notebooks_of(repo: Repo, root: Path) -> dict[str, str]:
    """Return the stages that run notebooks, in the order of dvc.yaml, by the notebook's name.

    Their commands end in ``run NAME`` of the project's own command, or of the engine's.
    """
    return _stages_that("run", repo, root)


def sweeps_of(repo: Repo, root: Path) -> dict[str, str]:
    """Return the stages that run sweeps by the sweep's name, as :func:`notebooks_of` does."""
    return _stages_that("sweep", repo, root)


def _stages_that(does: str, repo: Repo, root: Path) -> dict[str, str]:
    own = re.escape(project_of(root).command)
    command = re.compile(rf"(?<![\w.-])(?:{own}|notebook_pipeline) {does} (\w+)$")
    found = ((command.search(str(stage.cmd)), stage.addressing) for stage in stages_of(repo))
    return {match[1]: stage for match, stage in found if match}


def notebook_stages(root: Path) -> dict[str, str]:
    """Return what :func:`notebooks_of` does of the repository ``root``."""
    with open_repo(root) as repo:
        return notebooks_of(repo, root)


def sweep_stages(root: Path) -> dict[str, str]:
    """Return what :func:`sweeps_of` does of the repository ``root``."""
    with open_repo(root) as repo:
        return sweeps_of(repo, root)


def locked_inputs(root: Path) -> dict[str, StageInputs]:
    """Return by stage what dvc.lock says that it was made from; none where there is no dvc.lock."""
    path = root / "dvc.lock"
    stages = load_yaml(path)["stages"] if path.is_file() else {}  # by DVC: 1e-05 is a number
    return {name: _inputs(entry) for name, entry in stages.items()}


def current_inputs(root: Path, *names: str) -> dict[str, StageInputs]:
    """Return what stages are made from now, all stages of dvc.yaml if none is named.

    Files are hashed as DVC does, which knows those that have not changed since.
    """
    with open_repo(root) as repo:
        chosen = [repo.stage.load_one(name=name) for name in names] or stages_of(repo)
        states = {}
        for stage in chosen:
            stage.save_deps(allow_missing=True)
            states[stage.addressing] = _inputs(to_single_stage_lockfile(stage))
        return states


def output_problems(repo: Repo, stage: str) -> list[str]:
    """Say what is wrong with the outputs of a stage: missing, or not those that dvc.lock tells."""
    problems = []
    for out in repo.stage.load_one(name=stage).outs:
        if not out.exists:
            problems.append(f"{out.def_path} is missing")
        elif not out.hash_info or out.changed_checksum():
            problems.append(f"{out.def_path} does not match dvc.lock")
    return problems


def changes(one: StageInputs, other: StageInputs) -> list[str]:
    """Name what differs between two sets of inputs: files, parameters, the command."""
    found = [] if one.command == other.command else ["the command"]
    for a, b in (
        (one.dependencies, other.dependencies),
        (one.flat_parameters, other.flat_parameters),
    ):
        found += [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]
    return found


def _inputs(entry: Mapping[str, Any]) -> StageInputs:
    dependencies = {dep["path"]: dep.get("md5") for dep in entry.get("deps", ())}
    return StageInputs(entry["cmd"], dependencies, entry.get("params", {}).get(PARAMS, {}))
