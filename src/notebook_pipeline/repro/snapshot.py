"""What a stage is sent with: the files of the clone as they are, and which others it needs."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dvc.output import Output
from dvc.repo import Repo

from notebook_pipeline.repository import git, known_files
from notebook_pipeline.stages.states import open_repo


@dataclass(frozen=True)
class StageFiles:
    """The files of a stage.

    Attributes:
        cached: Dependencies that DVC's cache holds.
        other: Dependencies that it doesn't hold.
        uncached: Outputs with ``cache: false``.
        is_portable: Whether DVC's run cache keeps what it makes, by which others can take it over.
            It keeps no stage without dependencies or outputs, and none with outputs that stay in
            place or that no cache holds, but for metrics and plots.
    """

    cached: tuple[str, ...]
    other: tuple[str, ...]
    uncached: tuple[str, ...]
    is_portable: bool


def files_of(root: Path, name: str) -> StageFiles:
    """Return which files a stage needs and makes."""
    with open_repo(root) as repo:
        stage = repo.stage.load_one(name=name)
        outputs = _cached_outputs(repo)
        cached: list[Path] = []
        other: list[Path] = []
        for dependency in stage.deps:
            path = Path(dependency.fs_path)
            is_inside = any(path.is_relative_to(out) for out in outputs)
            found = [path] if is_inside else [out for out in outputs if out.is_relative_to(path)]
            cached += found
            other += [] if found else [path]
        return StageFiles(
            cached=tuple(os.path.relpath(path, root) for path in cached),
            other=tuple(os.path.relpath(path, root) for path in other),
            uncached=tuple(out.def_path for out in stage.outs if not out.use_cache),
            is_portable=bool(stage.deps and stage.outs)
            and not (stage.is_callback or stage.always_changed)
            and all(dependency.protocol == "local" for dependency in stage.deps)
            and all(map(_is_kept, stage.outs)),
        )


def _is_kept(out: Output) -> bool:
    told = out.use_cache or out.is_metric or out.is_plot
    return bool(told and out.protocol == "local" and out.is_in_repo and not out.persist)


def _cached_outputs(repo: Repo) -> list[Path]:
    return [Path(out.fs_path) for stage in repo.index.stages for out in stage.outs if out.use_cache]


def pack(root: Path, other: Iterable[str]) -> bytes:
    """Return what git keeps or would keep of the clone, with its uncommitted changes, as a tar.

    Nothing is staged or committed for it, and no filter of git changes a byte.

    Args:
        root: The clone.
        other: Files and folders that belong to it though git ignores them.

    Raises:
        ConfigError: if git can't tell.
    """
    names = {*known_files(root), *(name for name in other if (root / name).exists())}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1, encoding="utf-8") as tar:
        for name in sorted(names):
            if (root / name).is_dir() or (root / name).is_file():
                tar.add(root / name, name)
    return packed.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """Make a clone of what was packed, a git repository without a commit."""
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz", encoding="utf-8") as tar:
        tar.extractall(folder, filter="data")
    git(folder, "init", "--quiet")
