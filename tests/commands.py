"""A command of the engine in a fork of a process that has imported all that commands need."""

import os
import sys
from importlib import import_module
from multiprocessing.reduction import DupFd
from pathlib import Path

import sqlalchemy.orm

from notebook_pipeline.cli import main
from notebook_pipeline.project import project_of
from notebook_pipeline.repository import nearest_project
from notebook_pipeline.system.environment import stage_environment

for name in (
    "distributed",  # which a sweep imports once there is something to compute
    "mlflow.store.tracking.sqlalchemy_store",  # which MLflow imports once it opens a store
    "notebook_pipeline.mlflow_runs.backfill",
    "notebook_pipeline.mlflow_runs.status",
    "notebook_pipeline.reports.page",
    "notebook_pipeline.repro.parallel",
    "notebook_pipeline.repro.partial_pages",
    "notebook_pipeline.sweeps.page",
    "notebook_pipeline.sweeps.sweep",
    "notebook_pipeline.verification.verify",
):
    import_module(name)
sqlalchemy.orm.configure_mappers()


def command(root: Path, variables: dict[str, str], arguments: tuple[str, ...], said: DupFd) -> None:
    """Do what `python -m notebook_pipeline` does in a project, and end as it does.

    Args:
        root: The project.
        variables: The environment.
        arguments: Of the command.
        said: The file that receives all that is printed.
    """
    file = said.detach()
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", 1, encoding="utf-8") for stream in (1, 2))
    # A process of the project's own would have imported the project's, if any.
    sys.modules.pop("sitecustomize", None)
    os.chdir(root)
    os.environ.clear()
    os.environ.update(variables)
    sys.path.insert(0, str(root / "src"))
    os.environ.update(stage_environment(variables, root, project_of(root)))
    sys.exit(main(arguments, find=nearest_project))
