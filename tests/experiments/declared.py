"""What a stage of dvc.yaml need not declare although its processes read it."""

import ast
from pathlib import Path

from tests.repository import ROOT

CANONICAL = "src/notebook_pipeline/reports/canonical.py"
"""The one module of the engine that decides what of a notebook's run is kept.

Others decide the form of an output, but no value in it; CONTRIBUTING.md names them.
"""

CELL = "src/notebook_pipeline/parameters/cell.py"
"""The one module beside those of pages by which pages read what a report holds."""

POINTS = "src/notebook_pipeline/parameters/sweeps.py"
"""The one module of the engine that decides which points a sweep has."""

FINDS = ("errors", "parameters", "project", "repository", "stages", "system")
"""Parts of the engine by which pages start, find what they show, and say why they can't."""

COMMANDS = ("cli", "commands", "page_commands")
"""Modules of the engine that read what was typed, and call what does the work."""

STARTERS = tuple(f"src/experiments/{name}.py" for name in ("cli", "parameters", "project"))
"""They start the work, and know the schemas of all sections of params.yaml."""


def only_words(file):
    """Whether a module holds a docstring and nothing else."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return len(tree.body) <= 1 and (not tree.body or ast.get_docstring(tree) is not None)


def starts_the_work(file):
    """Whether a file of `src` starts, records or finds the work of any stage and decides none."""
    return file in STARTERS or (Path(file).name == "__init__.py" and only_words(file))


def of_the_engine(file, *, page):
    """Whether a file is the engine's and decides no value of what a stage keeps.

    Args:
        file: Relative to the repository.
        page: Whether the stage makes a page, on which more of the engine has a say.
    """
    inside = Path(file).parts[2:]
    if not file.startswith("src/notebook_pipeline/") or file in (CANONICAL, POINTS):
        return False
    finds = Path(inside[0]).stem in (*FINDS, *COMMANDS, "__init__", "__main__")
    return not page or (finds and file != CELL)
