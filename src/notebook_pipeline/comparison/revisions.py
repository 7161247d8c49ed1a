"""Reports as a revision of git has them: a branch, a tag, a commit, or a DVC experiment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import NoSCM, RevError, resolve_rev
from dvc.utils.serialize import load_yaml
from dvc_data.index import DataIndexError

from notebook_pipeline.comparison.folders import report_and_output
from notebook_pipeline.comparison.sides import SHORT, Report, Side
from notebook_pipeline.errors import ConfigError, OutputsError
from notebook_pipeline.project import project_of
from notebook_pipeline.stages.outputs import REPORT
from notebook_pipeline.stages.states import open_repo


def revision_side(text: str, root: Path, kept: Path, stack: ExitStack) -> Side | None:
    """Return the reports of all notebooks as a revision's dvc.lock tells; None if there is none.

    Args:
        text: A revision of git, or the name of a DVC experiment.
        root: The repository.
        kept: Folder for what is brought from DVC's cache or remote.
        stack: Closes DVC's view of the revision.

    Raises:
        ConfigError: if the name is ambiguous.
        OutputsError: if no notebook has run in that revision.
    """
    with open_repo(root) as repo:
        commit = _commit(repo, text)
        if commit is None:
            return None
        kind = "DVC experiment" if text in _experiments(repo) else "revision"
        inside = root.resolve().relative_to(Path(repo.scm.root_dir).resolve())
        # Where cache and remote are is of the clone, not of the commit.
        config = {section: repo.config[section] for section in ("cache", "core", "remote")}
    files = DVCFileSystem(
        str(root),
        rev=commit,
        subrepos=True,  # the project may lie in a folder of the repository
        config=config,
        repo_factory=partial(Repo, config=config),
    )
    stack.callback(files.close)
    revision = _Revision(text, files, inside, kept / commit)
    reports = {report.name: report for report in revision.reports()}
    if not reports:
        raise OutputsError(
            f"{text} has no notebook that has run: its dvc.lock names no reports/*/{REPORT}; "
            f"`{project_of(root).command} repro` and a commit of dvc.lock make one"
        )
    return Side(text, kind, commit[:SHORT], reports, commit)


def experiment_names(root: Path) -> list[str]:
    """Return the names of all DVC experiments of the repository."""
    with open_repo(root) as repo:
        return sorted(_experiments(repo))


def _experiments(repo: Repo) -> set[str]:
    if isinstance(repo.scm, NoSCM):
        return set()
    found = repo.experiments.ls(all_commits=True)
    return {name for experiments in found.values() for name, _ in experiments}


def _commit(repo: Repo, text: str) -> str | None:
    """Return the commit that a name stands for; None if it is no name of one."""
    if isinstance(repo.scm, NoSCM):
        return None
    try:
        return str(resolve_rev(repo.scm, text))
    except RevError as error:
        if "ambiguous" in str(error).lower():
            raise ConfigError(
                f"{text!r} stands for several commits or DVC experiments; give the commit of one, "
                "which `dvc exp show` and `git log` tell"
            ) from None
        return None


@dataclass(frozen=True)
class _Revision:
    """A revision, as DVC sees it.

    Attributes:
        label: What users call it.
        files: All files of its repository, from git, the cache or a remote.
        inside: Where the project lies in the repository.
        kept: Folder for what is brought.
    """

    label: str
    files: DVCFileSystem
    inside: Path
    kept: Path
    _stages: dict[tuple[str, str], str] = field(default_factory=dict, init=False)
    """By report and output, the stage that makes it."""

    def reports(self) -> Iterator[Report]:
        """Yield the reports that dvc.lock tells of."""
        found: dict[str, dict[str, str]] = {}
        for stage, out in self._outputs():
            name, output, is_whole = report_and_output(out["path"])
            self._stages[name, output] = stage
            found.setdefault(name, {})[output] = out.get("md5", "") if is_whole else ""
        for name, digests in sorted(found.items()):
            if REPORT in digests:
                yield Report(name, digests, self.kept / name, self._bringer(name))

    def _outputs(self) -> Iterator[tuple[str, dict[str, Any]]]:
        lock = self._path("dvc.lock")
        if self.files.exists(lock):
            for stage, entry in load_yaml(lock, fs=self.files).get("stages", {}).items():
                yield from ((stage, out) for out in entry.get("outs", ()))

    def _bringer(self, name: str) -> Any:
        return lambda output: self._bring(name, output)

    def _bring(self, name: str, output: str) -> None:
        """Copy an output from git, the cache or a remote, whole or not at all."""
        path, target = f"reports/{name}/{output}", self.kept / name / output
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.files.get(self._path(path), str(target), recursive=True)
        except (OSError, DvcException, DataIndexError):
            shutil.rmtree(target, ignore_errors=True)
            stage = self._stages[name, output]
            raise OutputsError(
                f"{path} of {self.label} is in neither the cache nor a remote; in a checkout of "
                f"{self.label}, `dvc pull {stage}` or `dvc repro {stage}` brings it"
            ) from None

    def _path(self, path: str) -> str:
        return (self.inside / path).as_posix()
