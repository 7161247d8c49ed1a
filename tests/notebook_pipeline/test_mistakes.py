"""Mistakes of whoever starts a project: each is told in a line that names what is wrong."""

import os
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from notebook_pipeline.cli import main
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.file import load_parameters
from notebook_pipeline.project import project_of
from notebook_pipeline.repository import project_root
from notebook_pipeline.run.runner import run_notebook
from notebook_pipeline.system.machine import machine_class
from tests.repository import ROOT
from tests.toy_clone import make_stages


@pytest.fixture
def root(tmp_path, monkeypatch):
    root = make_stages(tmp_path, ["walk"])
    (root / "notebooks").mkdir()
    nbformat.write(new_notebook(), root / "notebooks/01_walk.ipynb")
    (root / "params.yaml").write_text("walk:\n  steps: 3\n", encoding="utf-8")
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "params.yaml is None; it must map names to values"),
        ("- walk\n", "params.yaml is ['walk']; it must map names to values"),
        ("seed: 3\n", "params.yaml: seed is 3; it must map names to values"),
        ("walk:\n", "params.yaml: walk is None; it must map names to values"),
        (
            "walk:\n  1: 3\n",
            "params.yaml: walk: 1 can't be a name; choose another one that starts with a letter",
        ),
        ("walk:\n  _a: 3\n", "params.yaml: walk: '_a' can't be a name"),
        ("walk:\n  copy: 3\n", "params.yaml: walk: 'copy' can't be a name"),
        ("1:\n  a: 3\n", "params.yaml: 1 can't be a name"),
    ],
)
def test_parameters_that_no_schema_can_hold(root, text, told):
    (root / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_parameters(root)
    assert str(error.value).startswith(told)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("packages = 'numpy'", "packages is 'numpy'; it must be a list of strings"),
        ("environment = ['A=1']", r"environment is \['A=1'\]; it must be a table of strings"),
        ("environment = {A = 1}", "environment is {'A': 1}; it must be a table of strings"),
        ("name = 3", "name is 3; it must be text"),
        ("project = 3", "names the project '3'|names the project 3"),
        ("project = 'sys:path'", "names 'sys:path', which is not a Project"),
    ],
)
def test_a_table_that_tells_something_else(root, line, told):
    (root / "src").mkdir()
    text = f"[tool.notebook_pipeline]\n{line}\n"
    (root / "pyproject.toml").write_text(text, encoding="utf-8")
    project_of.cache_clear()
    with pytest.raises(ConfigError, match=told):
        project_of(root)


def test_a_table_that_cannot_be_read_is_not_taken_for_none(root):
    (root / "pyproject.toml").write_text("[tool.notebook_pipeline\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"pyproject\.toml is not valid TOML: "):
        project_root()


def test_a_package_that_is_not_installed():
    with pytest.raises(ConfigError, match="the package 'nunpy', which isn't installed"):
        machine_class(["nunpy"])


def test_a_notebook_that_is_none(root):
    (root / "notebooks/01_walk.ipynb").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"01_walk\.ipynb is not a notebook: it isn't JSON"):
        run_notebook("walk", root)


def test_a_parameter_of_another_type_than_the_notebooks_own(root):
    cells = [
        new_code_cell("steps = '3'", metadata={"tags": ["parameters"]}),
        new_code_cell("print(steps)"),
    ]
    nbformat.write(new_notebook(cells=cells), root / "notebooks/01_walk.ipynb")
    with pytest.raises(ConfigError, match=r"'steps' is 3 in params\.yaml, but '3' in the p"):
        run_notebook("walk", root)


def test_no_notebook_at_all(root, capsys):
    (root / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    assert main(["run", "walk"]) == 2
    assert "'walk' is not a notebook; there are none" in capsys.readouterr().err


def called(folder, command):
    """What a command in a folder returned and told."""
    done = subprocess.run(
        [sys.executable, "-m", "notebook_pipeline", command],
        cwd=folder, check=False, capture_output=True, encoding="utf-8",
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_status_of_what_has_never_run(root):
    assert not (root / "reports").exists()
    status, told, _ = called(root, "status")
    assert status == 1
    assert "walk: has never run: `dvc repro` runs it\n1 problems\n" in told


def test_the_engines_own_checkout_is_not_run_for_a_folder_that_is_no_project(tmp_path):
    status, _, told = called(tmp_path, "status")
    assert status == 1
    assert told.startswith("notebook_pipeline: no dvc.yaml beside a pyproject.toml with")
    assert len(told.splitlines()) == 1
