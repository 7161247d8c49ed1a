"""The command line of a project, for the stages of dvc.yaml and for users.

Call ``python -m notebook_pipeline`` in a project's folder; a project may define a shorter name.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from notebook_pipeline.commands import COMMANDS
from notebook_pipeline.errors import UserError
from notebook_pipeline.project import project_of
from notebook_pipeline.repository import project_root
from notebook_pipeline.system.environment import enter_environment
from notebook_pipeline.system.signals import end_with_dvc


def main(arguments: Sequence[str] | None = None, find: Callable[[], Path] = project_root) -> int:
    """Run one command and return its exit status: 1 with a few lines on stderr if it failed.

    Args:
        arguments: Arguments of the command; by default those of this process.
        find: Returns the repository.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale's encoding may lack what is told
            stream.reconfigure(errors="backslashreplace")
    name = "notebook_pipeline"
    try:
        root = find()
        if arguments is None:
            end_with_dvc()  # before the imports, which take seconds
        if arguments is None and not {"-h", "--help"} & set(sys.argv):
            enter_environment(root)  # before the imports, which would be done twice
        project = project_of(root)
        name = project.command
        group = click.Group(
            commands=[*COMMANDS, *project.commands()],
            help="Run parts of the pipeline.",
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        given = sys.argv[1:] if arguments is None else list(arguments)
        return int(group.main(given, prog_name=name, standalone_mode=False) or 0)
    except (KeyboardInterrupt, click.Abort):
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (UserError, OSError) as error:
        for line in (str(error), *getattr(error, "__notes__", ())):
            print(f"{name}: {line}", file=sys.stderr)
        return 1
