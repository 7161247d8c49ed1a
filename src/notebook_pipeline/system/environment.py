"""The environment of every process of a stage, the same wherever it starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.project import Project, project_of
from notebook_pipeline.repository import PACKAGE, check_own_code

FIXED = {
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "TZ": "UTC",
}
"""What each process of a stage is given; a project adds its own."""

HARDWARE = (
    "CUBLAS_", "CUDA_", "CUDNN_", "DNNL_", "DYLD_", "GLIBC_TUNABLES", "LD_", "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_", "OPENBLAS_",
)  # fmt: skip
"""Beginnings of the names of variables that say what the machine is and what it needs to be right.

They stay, and belong to the class of the machine.
"""

DECIDING = (
    "ARROW_", "BLIS_", "BLOSC_", "COLUMNS", "GOMP_", "GOTO_", "KMP_", "LANG", "LC_", "LINES",
    "MATPLOTLIB", "MKL_", "MPL", "NPY_", "NUMBA_", "NUMEXPR_", "OMP_", "OPENBLAS_NUM_", "PANDAS_",
    "PYTHON", "SCIPY_", "SKLEARN_", "TZ", "VECLIB_", "ZARR_",
)  # fmt: skip
"""Beginnings of the names of variables that choose what is computed, drawn or stored, and how.

None stays.
"""

HARMLESS = (
    "NUMBA_CACHE_DIR", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONNOUSERSITE",
    "PYTHONPYCACHEPREFIX", "PYTHONUNBUFFERED", "PYTHONUSERBASE",
)  # fmt: skip
"""Variables that stay all the same: where things lie, and what changes no result."""

OTHERS = ("DVC_", "GIT_", "MLFLOW_")
"""Beginnings of variables that would lead a command in a clone back to another repository."""

_STARTED = "NOTEBOOK_PIPELINE_STARTED"


def stage_environment(variables: Mapping[str, str], root: Path, project: Project) -> dict[str, str]:
    """Return the environment in which stages of a repository run, made from another by rule.

    It finds the repository's own code first, and the commands of this interpreter.

    Raises:
        ConfigError: if no variable can hold the repository's path.
    """
    if os.pathsep in str(root):
        raise ConfigError(
            f"the path {root} contains {os.pathsep!r}, which separates paths: rename it"
        )
    deciding = (*DECIDING, *project.deciding)
    kept = {
        name: text
        for name, text in variables.items()
        if not name.startswith(deciding) or name in HARMLESS or name in project.harmless
    }
    commands = str(Path(sys.executable).parent)
    others = [path for path in kept.get("PATH", "").split(os.pathsep) if path != commands]
    return kept | FIXED | dict(project.environment) | _plain_figures() | {
        "PATH": os.pathsep.join([commands, *others]),
        "PYTHONPATH": source_path(variables, root),
    }  # fmt: skip


def clone_environment(clone: Path) -> dict[str, str]:
    """Return an environment in which a clone's own code runs and keeps its runs to itself."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(OTHERS)}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": source_path(os.environ, clone),
        "DVC_NO_ANALYTICS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def source_path(variables: Mapping[str, str], root: Path) -> str:
    """Return the PYTHONPATH by which processes find a repository's own code.

    An engine that is not installed, but was found by PYTHONPATH, is found there, too, unless the
    repository has one of its own.
    """
    here, source = str(PACKAGE.parent), root / "src"
    named = variables.get("PYTHONPATH", "").split(os.pathsep)
    brought = here in named and not (source / PACKAGE.name).is_dir()
    return os.pathsep.join([str(source), *([here] if brought else [])])


def _plain_figures() -> dict[str, str]:
    """Return what has Matplotlib use its own settings, not a person's, where it is installed."""
    found = find_spec("matplotlib")  # only found, not imported, which would take a second
    if found is None or found.origin is None:
        return {}
    return {"MATPLOTLIBRC": str(Path(found.origin).parent / "mpl-data")}


def enter_environment(root: Path) -> None:
    """Start this command again in the environment of stages, unless it has that already.

    Raises:
        ConfigError: if the code that runs is not the repository's own even then.
    """
    process, _, count = os.environ.pop(_STARTED, "").partition(" ")
    starts = int(count) if process == str(os.getpid()) else 0  # a start changes no process's id
    source = root / "src"
    engine = source / PACKAGE.name
    if engine.is_dir() and engine.resolve() != PACKAGE.resolve():
        # Another engine may not understand what this project tells of itself.
        wanted = {**os.environ, "PYTHONPATH": str(source)}
    else:
        sys.path.insert(0, str(source))  # the project is then the repository's own
        wanted = stage_environment(os.environ, root, project_of(root))
        if wanted == os.environ:
            return
    if starts == 2:
        check_own_code(root)
        return
    wanted[_STARTED] = f"{os.getpid()} {starts + 1}"
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)
