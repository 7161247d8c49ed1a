"""An attempt to run a notebook: its folder, which stays for inspection if the run fails."""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from notebook_pipeline.project import project_of
from notebook_pipeline.stages.outputs import FAILED
from notebook_pipeline.system.environment import FIXED, HARDWARE, HARMLESS
from notebook_pipeline.system.machine import machine_class

ENVIRONMENT = (*FIXED, *HARDWARE, *HARMLESS, "NOTEBOOK_PIPELINE", "PATH", "PYTHON")
"""Beginnings of the names of variables that a bundle tells: what computing may depend on.

No others, as a bundle goes to MLflow, and those of MLflow, DVC and clouds hold passwords.
"""


@dataclass(frozen=True)
class Attempt:
    """The folder ``reports/failed/<name>`` of a notebook that is being run.

    Whatever ends the attempt, what there is of it lies there: the notebook up to the cell that
    failed, ``parameters.yaml``, ``environment.json``, ``log.txt`` and ``results``.

    Attributes:
        folder: The attempt's own.
        notebook: The executed copy of the notebook in it.
    """

    folder: Path
    notebook: Path

    @property
    def results(self) -> Path:
        """Where the notebook's figures, tables, weights and traces go."""
        return self.folder / "results"

    @property
    def backup(self) -> Path:
        """Where trainings keep what they need to go on after an interruption."""
        return self.folder / ".backup"

    @property
    def ipython(self) -> Path:
        """Where the kernel finds no start-up files and settings of a person's own."""
        return self.folder / ".ipython"

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Write to ``log.txt`` what kernels print beside their cells, and the error that ends it.

        What this process itself prints still goes to the terminal.
        """
        with (self.folder / "log.txt").open("a", encoding="utf-8") as log, _own_streams_kept():
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
            try:
                yield
            except BaseException:
                log.write(traceback.format_exc())
                raise


def begin_attempt(source: Path, parameters: Mapping[str, Any], key: str, root: Path) -> Attempt:
    """Make the folder of an attempt, empty.

    What an interrupted training has kept stays if it belongs to the same state of the stage, on
    the same class of machine.

    Args:
        source: The notebook.
        parameters: Of the notebook.
        key: Of the state of the stage.
        root: The repository.
    """
    folder = root / FAILED / source.stem[3:]
    attempt = Attempt(folder, folder / source.name)
    project = project_of(root)
    machine, told = machine_class(project.packages), (*ENVIRONMENT, *project.environment)
    same = _begun_as(folder) == (key, machine)
    for path in folder.iterdir() if folder.is_dir() else ():
        if not (same and path == attempt.backup):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    attempt.backup.mkdir(parents=True, exist_ok=True)
    (folder / "parameters.yaml").write_text(
        yaml.safe_dump(dict(parameters), sort_keys=False), encoding="utf-8"
    )
    environment = {
        "key": key,
        "command": sys.argv,
        "python": sys.executable,
        "machine": machine,
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(told)},
    }
    (folder / "environment.json").write_text(
        json.dumps(environment, indent=2) + "\n", encoding="utf-8"
    )
    return attempt


def _begun_as(folder: Path) -> tuple[str, dict[str, Any]] | None:
    """Return key and machine of the attempt that a folder holds, None if it doesn't tell."""
    try:
        environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
        return environment["key"], environment["machine"]
    except (OSError, ValueError, KeyError):
        return None


@contextmanager
def _own_streams_kept() -> Iterator[None]:
    """Let this process go on writing to where its streams 1 and 2 lead now, and lead them back."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    out, err = (
        os.fdopen(os.dup(copy), "w", 1, encoding=own.encoding, errors=own.errors)
        for copy, own in zip(kept, (sys.stdout, sys.stderr), strict=True)
    )
    try:
        with out, err, redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        for stream, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, stream)
            os.close(copy)
