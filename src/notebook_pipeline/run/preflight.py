"""Conditions that must hold before a notebook starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from notebook_pipeline.errors import NotebookError
from notebook_pipeline.stages.states import open_repo

KERNEL = "python3"
"""Jupyter's name for the kernel of the interpreter that asks."""


class OwnKernelManager(AsyncKernelManager):
    """Starts kernels of this interpreter, whatever else Jupyter finds under their name."""

    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])


def check_kernel() -> None:
    """Refuse to start where this interpreter has no kernel to run notebooks in."""
    try:
        OwnKernelManager().kernel_spec_manager.get_kernel_spec(KERNEL)
    except NoSuchKernel:
        raise NotebookError(
            f"{sys.executable} has no ipykernel to run notebooks in; "
            f"`{sys.executable} -m pip install ipykernel` installs it"
        ) from None


def check_cache(root: Path) -> None:
    """Refuse to start what DVC couldn't keep in the end."""
    with open_repo(root) as repo:
        cache = Path(repo.cache.local.path)
    folder = next(path for path in (cache, *cache.parents) if path.exists())
    if not os.access(folder, os.W_OK):
        raise NotebookError(
            f"DVC's cache {cache} can't be written: make it writable, or set another one with "
            "`dvc cache dir`"
        )
