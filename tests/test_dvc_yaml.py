"""The dependencies that dvc.yaml declares are those that a stage's code imports."""

import ast
from pathlib import Path

import grimp
import nbformat
import pytest
import yaml

import lstm_states
from lstm_states.config import TRIALS
from tests.clone import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
GRAPH = grimp.build_graph("lstm_states")


def modules_of(notebook):
    """The modules of ours that a notebook imports, lazy names followed to their homes."""
    cells = nbformat.read(notebook, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    nodes = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ImportFrom)]
    names = [a.name for n in nodes if n.module == "lstm_states" for a in n.names]
    homes = {f"lstm_states.{lstm_states._HOMES.get(name, name)}" for name in names}
    return homes | {
        f"{n.module}.{a.name}" for n in nodes if "lstm_states." in n.module for a in n.names
    }


def file_of(module):
    path = Path("src", *module.split("."))
    return path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")


def undeclared(modules, deps):
    """Files that ``modules`` need, themselves included, and that no dependency covers."""
    needed = set(modules).union(*(GRAPH.find_upstream_modules(m, as_package=True) for m in modules))
    needed |= {m for name in modules for m in GRAPH.find_descendants(name)}
    files = {file_of(module) for module in needed}
    covered = [Path(dep) for dep in deps]
    return {str(f) for f in files if not any(f == c or c in f.parents for c in covered)}


# What only starts the work, or says where packages are, changes no result.
STARTERS = {"src/lstm_states/__init__.py", "src/lstm_states/pipeline/__init__.py"}


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=str)
def test_notebook(notebook):
    stage = "trial" if notebook.stem[3:] in TRIALS else "experiment"
    deps = [dep.replace("${key}", notebook.stem[3:]) for dep in STAGES[stage]["do"]["deps"]]
    modules = modules_of(notebook) | {"lstm_states.pipeline.runner"}
    assert undeclared(modules, deps) - STARTERS == set()


def test_prepare():
    deps = STAGES["prepare"]["do"]["deps"]
    assert undeclared({"lstm_states.datasets"}, deps) - STARTERS == set()


def test_claims():
    deps = STAGES["claims"]["deps"]
    assert undeclared({"lstm_states.pipeline.ledger"}, deps) - STARTERS == set()


def test_compare():
    deps = STAGES["compare"]["deps"]
    assert undeclared({"lstm_states.pipeline.compare"}, deps) - STARTERS == set()


def test_a_missing_dependency_is_found():
    deps = [dep for dep in STAGES["experiment"]["do"]["deps"] if "measures" not in dep]
    modules = modules_of(ROOT / "notebooks/01_stacked.ipynb")
    assert "src/lstm_states/measures.py" in undeclared(modules, deps)
