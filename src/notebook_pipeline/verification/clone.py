"""A temporary clone of the repository, including uncommitted changes, for a pipeline run."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from notebook_pipeline.repository import git, known_files


@contextmanager
def temporary_clone(root: Path, data: Iterable[str] = ()) -> Iterator[Path]:
    """Clone ``root`` as it is now, without outputs, cache and runs; the clone goes in the end.

    Args:
        root: The project, a git repository or a folder in a larger one.
        data: Files and folders in it that git doesn't keep, such as what `dvc add` keeps.

    Yields:
        The project in the clone.

    Raises:
        ConfigError: if ``root`` is in no git repository, or that has no commit.
    """
    with tempfile.TemporaryDirectory(prefix="notebook-pipeline-") as folder:
        top, below, *_ = git(root, "rev-parse", "--show-toplevel", "--show-prefix").split("\n")
        clone, project = Path(folder) / "clone", Path(folder) / "clone" / below
        git(root, "clone", "--quiet", "--no-checkout", top, str(clone))
        git(clone, "reset", "--quiet")
        for name in known_files(root):
            if (root / name).is_file():
                (project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, project / name, follow_symlinks=False)
        for name in data:
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            if (root / name).is_dir():
                shutil.copytree(root / name, project / name, dirs_exist_ok=True)
            else:
                shutil.copy2(root / name, project / name)
        yield project
