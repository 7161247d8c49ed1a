"""Find the repository of a process, ask git about it, and check that the code is its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.project import TABLE, is_project

PACKAGE = Path(__file__).parent
"""The engine of this process, before links are followed."""

LOCK = "requirements.lock"
"""The file that holds the version of each package."""

_BEGAN = time.time()


def project_root() -> Path:
    """Return the repository: the nearest project, or the checkout that this code belongs to.

    Raises:
        ConfigError: if there is none, or the pyproject.toml of one can't be read.
    """
    return _nearest(PACKAGE.parents[1])


def nearest_project() -> Path:
    """Return the nearest folder from here up that is a project; others of DVC are passed over.

    Raises:
        ConfigError: as :func:`project_root`.
    """
    return _nearest()


def _nearest(*others: Path) -> Path:
    here = Path.cwd()
    for folder in (here, *here.parents, *others):
        if is_project(folder):
            return folder
    raise ConfigError(
        f"no dvc.yaml beside a pyproject.toml with [tool.{TABLE}] in {here} or above it; change "
        "to a clone of the repository"
    )


def find_notebook(name: str, root: Path) -> Path:
    """Return ``notebooks/NN_<name>.ipynb``.

    Raises:
        ConfigError: if there isn't exactly one.
    """
    found = sorted((root / "notebooks").glob(f"[0-9][0-9]_{name}.ipynb"))
    if len(found) != 1:
        raise ConfigError(f"notebooks/NN_{name}.ipynb: {len(found)} found, not 1")
    return found[0]


def git(folder: Path, *arguments: str) -> str:
    """Return what git prints in a folder; bytes of names that are no text become surrogates.

    Raises:
        ConfigError: if git refuses, in its own words.
    """
    # Within a hook of git, variables would lead it to another repository.
    leading = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")
    own = {name: text for name, text in os.environ.items() if name not in leading}
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, check=False, env=own
        )
    except OSError as error:
        raise ConfigError(f"git: {error.strerror}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise ConfigError(said or f"git ended with {done.returncode}")
    return os.fsdecode(done.stdout)


def known_files(root: Path) -> list[str]:
    """Return the files below ``root`` that git keeps, or would keep; some may be deleted.

    Raises:
        ConfigError: if git can't tell.
    """
    listed = git(root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    return [name for name in listed.split("\0") if name]


def check_own_code(root: Path) -> None:
    """Refuse to work for a repository with the code of another one.

    Raises:
        ConfigError: naming both, and what brings the repository's own code.
    """
    source = (root / "src").resolve()
    for name, path in _loaded(root):
        if not path.is_relative_to(source):
            raise ConfigError(
                f"this is {root}, but Python has imported {name} from {path}: set "
                f"PYTHONPATH={root / 'src'} before it starts, or use an environment in which "
                "this repository is installed"
            )


def check_loaded_code(root: Path) -> None:
    """Refuse what was computed by other files than those that the repository holds now.

    Raises:
        ConfigError: naming a module that is loaded and lies elsewhere, or whose file has been
            written since this process began.
    """
    check_own_code(root)
    for name, path in _loaded(root):
        # A time to come is that of another clock.
        if _BEGAN < path.stat().st_mtime < time.time():
            raise ConfigError(
                f"{path.relative_to(root.resolve())} changed while its code was running. "
                f"The results of {name} belong to no state and are not kept; run it again"
            )


def _loaded(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the modules that are loaded of packages that the repository has, with their files.

    The engine counts only where the repository holds a copy of its own.
    """
    own = {path.stem for path in (root / "src").glob("*") if path.is_dir() or path.suffix == ".py"}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name.partition(".")[0] in own:
            yield name, Path(file).resolve()
