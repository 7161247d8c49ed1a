"""The engine runs a project that has neither Keras nor this repository's other packages."""

import importlib
import re
import subprocess
import sys

import pytest

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters import file
from notebook_pipeline.parameters.file import load_parameters, read_parameters
from notebook_pipeline.project import Project, project_of
from tests.repository import ROOT

ALL_MODULES = """
import importlib, pkgutil, sys, notebook_pipeline
for found in pkgutil.walk_packages(notebook_pipeline.__path__, "notebook_pipeline."):
    if not found.name.endswith(("__main__", "one_stage")):
        importlib.import_module(found.name)
roots = {name.partition(".")[0] for name in sys.modules}
print(*sorted(roots & {"experiments", "keras", "lstm_states", "seaborn", "sklearn", "tensorflow"}))
"""


def test_all_stages_have_run_and_are_recorded(toy):
    assert toy.call("repro") == "everything is up to date\n"
    assert "0 problems" in toy.call("status")
    assert "up to date" in toy.run("dvc", "status")


OTHER_WORDS = re.compile(
    r"keras|tensorflow|\blstm|\bgru\b|stacked|\bepochs?\b|val_loss|\bloss(es)?\b|order_book|@depth"
    r"|`make |lstm-states|(?<!repo\.)\bexperiments\.",
    re.IGNORECASE,
)
"""Words of this repository's subject, and its commands; ``repo.experiments`` is DVC's."""


def test_the_engine_has_no_words_of_one_project():
    engine = ROOT / "src/notebook_pipeline"
    files = [p for p in engine.rglob("*") if p.suffix in (".py", ".j2", ".css", ".json")]
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if OTHER_WORDS.search(line)
    ]
    assert len(files) > 60
    assert found == []


NOTHING_TO_DO = """
import sys
from notebook_pipeline.cli import main
from notebook_pipeline.stages import states
opened = []
class Counted(states.Repo):
    def __init__(self, *given):
        opened.append(given)
        super().__init__(*given)
states.Repo = Counted
from notebook_pipeline.project import project_of
from pathlib import Path
project_of(Path.cwd())
print("pydantic" in sys.modules)
status = main(["repro"])
slow = {"dask", "distributed", "joblib", "mlflow"}
slow |= {"nbconvert", "nbformat", "numpy", "pandas", "papermill"}
print(status, len(opened), *sorted(slow & sys.modules.keys()))
"""


def test_a_repro_that_finds_nothing_to_do_reads_the_stages_once_and_loads_nothing_slow(toy):
    assert toy.run("python", "-c", NOTHING_TO_DO) == "False\neverything is up to date\n0 1\n"


def test_no_module_of_the_engine_imports_what_models_are_made_with(toy):
    done = subprocess.run(
        [sys.executable, "-c", ALL_MODULES], env={"PYTHONPATH": str(ROOT / "src")},
        check=True, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    assert done.stdout == "\n"
    absent = toy.run("python", "-c", "import keras", ok=False)
    assert "No module named 'keras'" in absent  # the toy's processes couldn't import it


def test_a_schema_that_cannot_be_imported_is_told(tmp_path, monkeypatch):
    project = Project("x", schema=lambda: importlib.import_module("no_such_schema"))
    monkeypatch.setattr(file, "project_of", lambda root: project)
    with pytest.raises(ConfigError, match=r"schema of params\.yaml can't be imported: No module n"):
        load_parameters(tmp_path)


def write_project(folder, table, parameters="walk: {steps: 3, name: a}\n"):
    (folder / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    text = f"[tool.notebook_pipeline]\n{table}\n"
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    (folder / "params.yaml").write_text(parameters, encoding="utf-8")
    return folder


def test_a_table_alone_tells_of_a_project(tmp_path):
    folder = write_project(tmp_path, 'command = "make"\npackages = ["numpy"]')
    assert project_of(folder) == Project(name=tmp_path.name, command="make", packages=["numpy"])


def test_without_a_schema_each_parameter_has_the_type_that_it_has_there(tmp_path):
    parameters = load_parameters(write_project(tmp_path, ""))
    assert parameters.model_dump() == {"walk": {"steps": 3, "name": "a"}}


@pytest.mark.parametrize(
    ("value", "own"), [("1", 0.5), ("1", 2), ("null", 0.5), ("a", None), ("1", None)]
)
def test_without_a_schema_a_notebook_also_runs_by_hand(tmp_path, monkeypatch, value, own):
    monkeypatch.chdir(write_project(tmp_path, "", f"walk: {{rate: {value}}}\n"))
    assert repr(read_parameters("walk", {"rate": own}).rate) == repr(own)  # 2 isn't 2.0


@pytest.mark.parametrize(("value", "own"), [("1", "1"), ("1", True), ("true", 1), ("a", 1)])
def test_without_a_schema_another_type_is_refused_by_hand_too(tmp_path, monkeypatch, value, own):
    monkeypatch.chdir(write_project(tmp_path, "", f"walk: {{rate: {value}}}\n"))
    with pytest.raises(ConfigError, match=r"notebook walk: rate is [^\n]*$"):
        read_parameters("walk", {"rate": own})


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (
            'comand = "x"',
            r"tool.notebook_pipeline.comand is unknown; allowed are name, c",
        ),
        ('project = "toy"', "names the project 'toy', which can't be imported"),
        (
            'project = "no.such:PROJECT"',
            "names the project 'no.such:PROJECT'.*module named 'no'",
        ),
        ('project = "tests.repository:NONE"', "has no attribute 'NONE'; write package.module:NAME"),
        (
            'project = "tests.repository:ROOT"\ncommand = "roll"',
            "tool.notebook_pipeline.command is set beside project; set it in the Project 'tests",
        ),
    ],
)
def test_a_table_that_is_wrong_is_told(tmp_path, table, told):
    (tmp_path / "src").mkdir()
    with pytest.raises(ConfigError, match=told):
        project_of(write_project(tmp_path, table))


def test_a_project_without_the_code_that_it_names_is_told(tmp_path):
    with pytest.raises(ConfigError, match="src is missing: the code that runs must be"):
        project_of(write_project(tmp_path, 'project = "tests.repository:ROOT"'))
