"""What commands that make pages share: those of a project, and the engine's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notebook_pipeline.project import project_of
from notebook_pipeline.repository import check_loaded_code, project_root

if TYPE_CHECKING:
    from notebook_pipeline.reports.missing import Missing


def keep_page(page: Path, root: Path) -> None:
    """Add a page that was just written beside a report to the report's run, and tell of it."""
    from notebook_pipeline.mlflow_runs import add_to_run  # takes seconds

    check_loaded_code(root)
    add_to_run(page, root)
    print(f"wrote {page.relative_to(root)}")


def page_command(stage: str, about: str) -> click.Command:
    """Return the command by which a stage of a project makes one of the project's pages.

    For a user, it makes the page from the existing results, with status 1 if some are missing.

    Args:
        stage: Name of the stage in dvc.yaml and of the command.
        about: Help text of the command.
    """

    @click.command(stage, help=about)
    def write() -> int:
        root = project_root()
        missing: list[Missing] = []
        if "DVC_STAGE" not in os.environ:  # DVC calls it once all is there
            from notebook_pipeline.repro.partial_pages import missing_now

            missing = missing_now(stage, root)
        page = project_of(root).pages[stage].write(root, missing).relative_to(root)
        check_loaded_code(root)
        print(f"wrote {page}", flush=True)
        for one in missing:
            print(
                f"{project_of(root).command}: {page} was made without {one.stage}, which {one.why}",
                file=sys.stderr,
            )
        return 1 if missing else 0

    return write
