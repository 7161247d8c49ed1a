"""`python -m notebook_pipeline.repro.one_stage NAME`: DVC runs a stage and ends with its caller."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc import dvcfile
from dvc.cli import main
from dvc.utils.serialize import modify_yaml

from notebook_pipeline.system.signals import end_with_parent


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


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end_all)
    end_with_parent()
    dvcfile.modify_yaml = modify_whole
    sys.exit(main(["--wait-for-lock", "repro", "--single-item", *sys.argv[1:]]))
