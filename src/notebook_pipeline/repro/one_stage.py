"""`python -m notebook_pipeline.repro.one_stage NAME`: DVC runs a stage and ends with its caller.

A worker of a cluster adds ``--checkout`` or ``--pull`` and the files that the stage needs; the
driver, which takes over what a worker has made, ``--restore``.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc import dvcfile
from dvc.cli import main
from dvc.exceptions import DvcException
from dvc.stage import Stage
from dvc.stage import run as stage_run
from dvc.utils.serialize import modify_yaml

from notebook_pipeline.stages.rwlock import drop_torn_rwlock
from notebook_pipeline.system.environment import enter_environment
from notebook_pipeline.system.signals import end_with_parent

REPRO = ("--wait-for-lock", "repro", "--single-item")


@contextmanager
def modify_whole(path: str | Path, fs: Any = None) -> Iterator[Any]:
    """Do what DVC's ``modify_yaml`` does, but rename the file into place.

    DVC writes dvc.lock in place. Notebooks that run beside the stage read it meanwhile, and would
    find it empty or half there.
    """
    whole = Path(path).resolve()
    part = whole.parent / ".dvc/tmp" / f"{whole.name}.{os.getpid()}"
    try:
        if whole.exists():
            shutil.copy(whole, part)
        with modify_yaml(part, fs=fs) as data:
            yield data
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)


def end_all(*_: object) -> None:
    """End what the stage has started, too: it would go on writing beside the next attempt."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.killpg(0, signal.SIGTERM)


def run_with_files(stage: str, how: str, needed: Sequence[str]) -> int:
    """Fetch what a stage needs, by `dvc checkout` or `dvc pull`, and run it.

    What came from a remote goes back to it: the outputs of the stage are pushed.
    """
    if needed and (status := main([how, *needed])):
        print(f"what {stage} needs can't be fetched on {platform.node()}", file=sys.stderr)
        return int(status)
    if status := main([*REPRO, stage]):
        return int(status)
    if how == "pull" and (status := main(["push", stage])):
        print(f"{stage} has run, but {platform.node()} can't push what it made", file=sys.stderr)
    return int(status)


def refuse(stage: Stage, **_: object) -> None:
    """Stand in for what runs a stage's command: the driver only takes over results."""
    raise DvcException(
        f"the results of {stage.addressing} are those of other files or parameters than there are "
        "now: they have changed while it ran on a worker. Run it again"
    )


def restore(stage: str, *options: str) -> int:
    """Take over what a worker has made of a stage, and never run it here."""
    stage_run.cmd_run = refuse
    return int(main([*REPRO, *options, stage]))


def main_of(stage: str, how: str = "", *given: str) -> int:
    """Do what the arguments of this process ask for."""
    if how == "--restore":
        return restore(stage, *given)
    if how:
        enter_environment(Path.cwd())  # the worker's is another one than the driver's
        return run_with_files(stage, how.removeprefix("--"), given)
    return int(main([*REPRO, stage]))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end_all)
    end_with_parent()
    dvcfile.modify_yaml = modify_whole
    drop_torn_rwlock(Path.cwd())
    sys.exit(main_of(*sys.argv[1:]))
