"""Verify a project whose stages write a number, and a notebook of the toy."""

import os
import shutil
import subprocess
import sys

import pytest

from notebook_pipeline.cli import main
from notebook_pipeline.errors import NotebookError, OutputsError
from notebook_pipeline.stages.provenance import write_run
from notebook_pipeline.stages.states import current_inputs, locked_inputs
from notebook_pipeline.system import machine
from notebook_pipeline.verification.verify import verify
from tests.repository import git
from tests.toy_clone import Toy

# DVC's own use of pygtrie
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning")

STAGES = """
stages:
  prepare:
    cmd: python make.py data/processed/numbers.json 1
    deps: [make.py]
    outs: [data/processed/numbers.json]
  experiment:
    foreach: {variable_length: {}, stacked: {}}
    do:
      cmd: python make.py reports/${key}/metrics.json $R2 numbers run ${key}
      deps: [data/processed/numbers.json]
      outs:
        - reports/${key}/metrics.json:
            cache: false
"""
MAKE = """
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps({"r2": float(sys.argv[2])}))
print("made", path)
"""
FILES = {
    "pyproject.toml": '[tool.notebook_pipeline]\ncommand = "numbers"\npackages = ["numpy"]\n',
    "params.yaml": "stacked: {epochs: 1}\n",
}
METRICS = "reports/variable_length/metrics.json"
PREPARED = "data/processed/numbers.json"
STAGE = "experiment@variable_length"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project that has run."""
    project = Toy(tmp_path_factory.mktemp("made") / "project")
    (project.path / "src/made").mkdir(parents=True)
    (project.path / "src/made/__init__.py").touch()
    for name, text in FILES.items():
        (project.path / name).write_text(text, encoding="utf-8")
    (project.path / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    (project.path / "make.py").write_text(MAKE, encoding="utf-8")
    (project.path / "tolerances.yaml").write_text(
        "metrics: {'*.r2': {absolute: 0.1}}\n", encoding="utf-8"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("R2", "0.5")
        project.run("git", "init", "--quiet")
        project.run("dvc", "init", "--quiet")
        project.run("dvc", "repro")
    git(project.path, "add", "--all")
    git(project.path, "commit", "--quiet", "--message", "first")
    record_machine(project.path, machine_class())
    return project.path


def machine_class():
    return machine.machine_class(["numpy"])


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of it. What it measures is in the environment, so that it can change."""
    monkeypatch.setenv("R2", "0.5")
    return Toy(shutil.copytree(made, tmp_path / "project", symlinks=True))


def record_machine(root, kind, key=None):
    key = key or locked_inputs(root)[STAGE].key
    write_run(root / "reports/variable_length", {"key": key, "machine": kind})


def test_the_same_bytes_are_made_again(project, capfd, monkeypatch):
    monkeypatch.chdir(project.path)
    assert main(["verify", "variable_length"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said[-2:] == ["2 outputs were compared: byte by byte", "all of them agree"]
    assert {f"made {PREPARED}", f"made {METRICS}"} <= set(said)  # neither cached nor left as it was
    assert "made reports/stacked/metrics.json" not in said


def test_the_whole_pipeline_is_verified_if_nothing_is_named(project):
    result = verify(project.path)
    assert result.outputs[0] == PREPARED
    assert sorted(result.outputs[1:]) == ["reports/stacked/metrics.json", METRICS]


def test_on_one_class_of_machine_every_byte_counts(project, monkeypatch, capfd):
    monkeypatch.setenv("R2", "0.5625")
    monkeypatch.chdir(project.path)
    assert main(["verify", "variable_length"]) == 1
    assert capfd.readouterr().out.splitlines()[-3:] == [
        f"{METRICS}, r2: 0.5 here, 0.5625 in the clone, 0.0625 apart",
        "2 outputs were compared: byte by byte",
        "1 differences",
    ]
    assert (project.path / METRICS).read_text(encoding="utf-8") == '{"r2": 0.5}'


@pytest.mark.parametrize(("r2", "differences"), [("0.5625", 0), ("0.75", 1)])
def test_on_another_class_tolerances_decide(project, monkeypatch, r2, differences):
    record_machine(project.path, {**machine_class(), "cores": 1024})
    monkeypatch.setenv("R2", r2)
    result = verify(project.path, ["variable_length"])
    assert len(result.found) == differences
    assert result.outputs == (METRICS,)
    assert f"first {METRICS}, r2: 0.5 here, {r2} in the clone" in result.comparison
    assert f"another class of machine than this: cores 1024 for {machine_class()['cores']}" in (
        result.comparison
    )
    if differences:
        assert str(result.found[0]).endswith("0.25 apart, allowed are 0.1 + 0 of the larger")


def test_on_another_class_equal_bytes_are_enough(project):
    record_machine(project.path, {**machine_class(), "cores": 1024})
    assert verify(project.path, ["variable_length"]).comparison == "byte by byte"


@pytest.mark.parametrize("known", ["nothing", "another state"])
def test_where_nobody_knows_the_machine_tolerances_decide(project, monkeypatch, known):
    if known == "nothing":
        (project.path / "reports/variable_length/run.json").unlink()
    else:
        record_machine(project.path, machine_class(), key="of another state")
    monkeypatch.setenv("R2", "0.5625")
    result = verify(project.path, ["variable_length"])
    assert result.found == ()
    assert "it is unknown on which machine reports/variable_length was made" in result.comparison


def alter(root):
    (root / METRICS).write_text('{"r2": 0.6}', encoding="utf-8")


def remove(root):
    (root / PREPARED).unlink()


def edit(root):
    (root / "make.py").write_text(MAKE + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (alter, f"{METRICS} does not match dvc.lock"),
        (remove, f"{PREPARED} is missing"),
        (edit, "prepare has changed since it ran: make.py"),
        (lambda root: (root / "dvc.lock").unlink(), "prepare has changed since it ran: all of it"),
    ],
)
def test_outputs_that_are_not_up_to_date_are_refused_before_anything_runs(
    project, capfd, change, said
):
    change(project.path)
    with pytest.raises(
        OutputsError, match=r"^nothing to compare with; `dvc repro` makes it:\n"
    ) as e:
        verify(project.path, ["variable_length"])
    assert said in str(e.value)
    assert "made" not in capfd.readouterr().out


def test_what_fails_in_the_clone(project, capfd):
    # It finds in this folder what a fresh clone has not.
    dvc = (project.path / "dvc.yaml").read_text(encoding="utf-8")
    (project.path / "dvc.yaml").write_text(dvc.replace("$R2", "$(cat outside)"), encoding="utf-8")
    (project.path / ".gitignore").write_text("/outside\n", encoding="utf-8")
    (project.path / "outside").write_text("0.5", encoding="utf-8")
    project.run("dvc", "repro")
    with pytest.raises(NotebookError, match="the pipeline failed in a fresh clone"):
        verify(project.path, ["variable_length"])
    assert "outside: No such file" in capfd.readouterr().err


def test_an_interruption_ends_the_clone_and_all_that_runs_in_it(project):
    dvc = (project.path / "dvc.yaml").read_text(encoding="utf-8")
    (project.path / "dvc.yaml").write_text(
        dvc.replace(" $R2 numbers", " $R2 && sleep $SLEEP && true numbers"), encoding="utf-8"
    )
    clones = project.path.parent / "clones"
    clones.mkdir()
    nap = f"97.{os.getpid()}"  # as no other process sleeps
    code = "from notebook_pipeline.cli import main; raise SystemExit(main(['verify']))"
    environment = {**os.environ, "TMPDIR": str(clones), "SLEEP": "0"}
    subprocess.run(["dvc", "repro"], cwd=project.path, env=environment, check=True)
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=project.path, env=environment | {"SLEEP": nap},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
    ) as process:  # fmt: skip
        assert any(line.startswith("made reports") for line in process.stdout)
        process.terminate()
        assert process.wait(timeout=180) == 130
    assert list(clones.iterdir()) == []
    assert subprocess.run(["pgrep", "-f", f"^sleep {nap}$"], check=False).returncode == 1


@pytest.mark.slow
def test_a_notebook_gives_the_same_bytes_again(toy):
    said = toy.call("verify", "double").splitlines()  # and walk, which it needs
    assert said[-2:] == ["10 outputs were compared: byte by byte", "all of them agree"]


@pytest.fixture
def with_data(project, monkeypatch):
    """The project with data that `dvc add` keeps, in a file and in a folder, and `prepare` uses."""
    monkeypatch.chdir(project.path)
    (project.path / "data/raw/many").mkdir(parents=True)
    for name in ("own.csv", "many/one.csv"):
        (project.path / "data/raw" / name).write_text("t,y\n1,2\n", encoding="utf-8")
    project.run("dvc", "add", "data/raw/own.csv", "data/raw/many")
    text = (project.path / "dvc.yaml").read_text(encoding="utf-8")
    deps = "deps: [make.py, data/raw/own.csv, data/raw/many]"
    (project.path / "dvc.yaml").write_text(
        text.replace("deps: [make.py]", deps).replace(
            "python make.py data",
            "cat data/raw/own.csv data/raw/many/one.csv && python make.py data",
        ),
        encoding="utf-8",
    )
    project.run("dvc", "repro")
    return project


def test_data_that_dvc_add_keeps_is_verified_too(with_data, capfd):
    assert main(["verify", "variable_length"]) == 0
    said = capfd.readouterr().out.splitlines()
    assert said.count("1,2") == 2
    assert said[-2:] == ["2 outputs were compared: byte by byte", "all of them agree"]
    (with_data.path / "data/raw/own.csv").unlink()
    assert main(["verify", "variable_length"]) == 1
    assert "data/raw/own.csv" in capfd.readouterr().err


def test_the_state_of_data_that_dvc_add_keeps_is_told(with_data):
    assert set(current_inputs(with_data.path)) == {
        "prepare", "experiment@variable_length", "experiment@stacked",
    }  # fmt: skip


def test_a_project_in_a_folder_of_a_larger_repository(made, tmp_path, monkeypatch):
    monkeypatch.setenv("R2", "0.5")
    larger = tmp_path / "larger"
    project = shutil.copytree(made, larger / "research/project", symlinks=True)
    shutil.rmtree(project / ".git")
    (larger / "notes.txt").write_text("ours", encoding="utf-8")
    git(larger, "init", "--quiet")
    git(larger, "add", "--all")
    git(larger, "commit", "--quiet", "--message", "first")
    result = verify(project, ["variable_length"])
    assert (result.outputs, result.found) == ((PREPARED, METRICS), ())
