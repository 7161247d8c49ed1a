"""The dependencies that dvc.yaml declares are those that a stage's code imports."""

import ast
from pathlib import Path

import grimp
import nbformat
import pytest
from dvc.repo import Repo

import lstm_states
from experiments.data.catalogue import _KINDS, any_data_set
from notebook_pipeline.repository import find_notebook
from notebook_pipeline.stages.states import notebook_stages
from tests.experiments.declared import of_the_engine, starts_the_work
from tests.repository import ROOT

GRAPH = grimp.build_graph("lstm_states", "notebook_pipeline", "experiments")
any_data_set()  # imports all kinds
STAGES = notebook_stages(ROOT)
"""Of each notebook."""


def deps_of(stage):
    with Repo(ROOT) as repo:
        return [dep.def_path for dep in repo.stage.load_one(name=stage).deps]


def modules_of(notebook):
    """The modules of ours that a notebook imports, lazy names followed to their homes."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield home(node.module, alias.name)


def home(module, name):
    """The module that ``from module import name`` reads."""
    if module == "lstm_states":
        return f"lstm_states.{lstm_states._HOMES.get(name, name)}"
    inner = f"{module}.{name}"
    return inner if inner in GRAPH.modules else module


def file_of(module):
    path = Path("src", *module.split("."))
    return str(path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py"))


def undeclared(modules, deps, *, page=False):
    """Files that ``modules`` need, themselves included, and that no dependency covers.

    What starts the work is no part of it, nor is what that alone needs.
    """
    wanted = [module for module in modules if module in GRAPH.modules]
    needed = set()
    while wanted:
        module = wanted.pop()
        file = file_of(module)
        # Lazy homes are a public name's: a module that imports the package needs what it names.
        if file in needed or starts_the_work(file) or of_the_engine(file, page=page):
            continue
        needed.add(file)
        wanted += GRAPH.find_modules_directly_imported_by(module)
    covered = [Path(dep) for dep in deps]
    return {f for f in needed if not any(Path(f) == c or c in Path(f).parents for c in covered)}


@pytest.mark.parametrize("name", STAGES)
def test_notebook(name):
    deps = deps_of(STAGES[name])
    notebook = find_notebook(name, ROOT)
    assert str(notebook.relative_to(ROOT)) in deps
    modules = {*modules_of(notebook), "notebook_pipeline.reports.canonical"}
    assert undeclared(modules, deps) == set()


@pytest.mark.parametrize(
    ("stage", "module"),
    [
        ("claims", "experiments.claims.page"),
        ("index", "experiments.index.index"),
        ("pages", "notebook_pipeline.reports.page"),
    ],
)
def test_page(stage, module):
    assert undeclared({module}, deps_of(stage), page=True) == set()


@pytest.mark.parametrize(("maker", "kind"), _KINDS.items())
def test_prepare(maker, kind):
    """Of any kind of data set, each in a module of its name."""
    own, book = (f"src/experiments/data/{name}.py" for name in (maker, "order_book"))
    deps = [own if dep == book else dep for dep in deps_of("prepare@order_book")]
    assert undeclared({"experiments.data.prepare", kind.__module__}, deps) == set()


@pytest.mark.parametrize(
    ("dep", "file"),
    [
        ("src/lstm_states", "src/lstm_states/summary.py"),
        ("src/experiments/shared", "src/experiments/shared/learning.py"),
        *[(path := "src/experiments/data/samples.py", path)],
        ("src/experiments/forecasting", "src/experiments/forecasting/training.py"),
        *[(path := "src/notebook_pipeline/reports/canonical.py", path)],
    ],
)
def test_a_missing_dependency_is_found(dep, file):
    modules = {
        *modules_of(find_notebook("stacked", ROOT)), "notebook_pipeline.reports.canonical"
    }  # fmt: skip
    deps = [one for one in deps_of(STAGES["stacked"]) if one != dep]
    assert file in undeclared(modules, deps)


def test_what_a_page_shows_is_no_part_of_what_finds_it():
    assert undeclared({"notebook_pipeline.reports.page"}, [], page=True) >= {
        "src/notebook_pipeline/reports/page.py",
        "src/notebook_pipeline/departures.py",
    }
