"""What goes to MLflow alone, and which runs stay there."""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections import OrderedDict
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
import sqlalchemy
import xarray as xr
from mlflow.tracking._tracking_service import utils

from notebook_pipeline import mlflow_runs
from notebook_pipeline.errors import StoreError
from notebook_pipeline.expectations import read_expectations
from notebook_pipeline.mlflow_runs import processes
from notebook_pipeline.results import BACKUP_VARIABLE, Results
from notebook_pipeline.stages.store_address import file_of
from tests.leaks import own_store
from tests.toy_clone import make_project, wait_for

pytestmark = pytest.mark.usefixtures("store_put_back")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Results with an active run in a store of their own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    root = make_project(tmp_path / "root")
    client = mlflow_runs.connect(root)
    active = mlflow.start_run(experiment_id=client.experiment_id)
    directory = tmp_path / "reports"
    directory.mkdir()
    yield Results(directory, root), active.info.run_id, client
    mlflow.end_run()


def test_what_varies_goes_to_mlflow_and_not_to_the_report(run, tmp_path):
    results, run_id, client = run
    taken = xr.DataArray(
        [[[3.0, 1.0, 2.0], [0.5, 0.25, 1.0]]],
        dims=("case", "way", "round"),
        coords={"case": ["100 steps"], "way": ["recomputed", "from kept states"]},
        attrs={"long_name": "Time for one call", "units": "s"},
    )
    results.log_varying("streaming", taken, plt.figure())
    plt.close()
    assert list(results.directory.iterdir()) == []
    assert client.get_run(run_id).data.metrics == {
        "streaming/100 steps/recomputed": 2.0,
        "streaming/100 steps/from kept states": 0.5,
    }
    files = {file.path for file in client.list_artifacts(run_id, "varying")}
    assert files == {"varying/streaming.csv", "varying/streaming.png"}
    table = pd.read_csv(client.download_artifacts(run_id, "varying/streaming.csv", str(tmp_path)))
    np.testing.assert_array_equal(table["Time for one call (s)"], taken.values.ravel())
    assert table["way"].tolist() == ["recomputed"] * 3 + ["from kept states"] * 3


def test_training_is_kept_where_the_runner_says(run, tmp_path, monkeypatch):
    results, _, _ = run
    monkeypatch.delenv(BACKUP_VARIABLE, raising=False)
    assert results.backup is None
    monkeypatch.setenv(BACKUP_VARIABLE, str(tmp_path / "kept"))
    assert results.backup == tmp_path / "kept"


def test_the_password_of_a_server_is_not_told():
    assert mlflow_runs.without_password("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert mlflow_runs.without_password("sqlite:////me@home/a.db") == "sqlite:////me@home/a.db"


def evidence(**values):
    data = {
        name: ("model", found, {"long_name": name, "units": "1"}) for name, found in values.items()
    }
    return xr.Dataset(data, coords={"model": ["trained", "seed 0"]})


def test_what_mathematics_demands_is_required_of_stacks_that_are_drawn(run):
    results, _, _ = run
    results.keep_evidence("moves", evidence(still=[0.5, 1e-12], moved=[0.5, 0.25]))
    results.require({"still": "<= 1e-9"}, without=["trained"])  # 0.5 is what a training came to
    told = "still is 1e-12, not <= 1e-13; moved is 0.25, not <= 0"
    with pytest.raises(AssertionError, match=f"^{told}$"):
        results.require({"still": "<= 1e-13", "moved": "<= 0"}, without=["trained"])
    with pytest.raises(ValueError, match="'stil' is expected"):
        results.require({"stil": "<= 1"})


def test_what_is_expected_never_fails_and_names_other_parameters(run, monkeypatch):
    results, _, _ = run
    results = replace(results, changed={"epochs": (1, 8)})
    results.keep_evidence("results", evidence(score=[0.5, float("nan")]))
    monkeypatch.setattr(Results, "_changed_in", lambda *_: {"dataset": ("own", "book")})
    expectations = results.expect({"score": "> 0.6"}, uses=["stacked"])
    assert expectations == read_expectations(results.directory)
    assert expectations.differs == (
        "epochs is 1, not 8",
        "stacked.dataset is 'own', not 'book'",
    )
    [one] = expectations.departures
    assert (one.found, one.departs) == ("0.5, no number in 1 of 2", "by 0.1, 2 of 2")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A function that makes finished runs of one state."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = mlflow_runs.connect(make_project(tmp_path))

    def make():
        run = mlflow_runs.create_run(client, "stacked", {"epochs": 1}, tmp_path, key="k")
        time.sleep(0.01)  # MLflow counts milliseconds
        client.set_terminated(run.info.run_id, "FINISHED")
        return run.info.run_id

    return client, make


def register(client, run, name):
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    return client.create_model_version(name, f"runs:/{run}/model", run).version


def test_a_newer_run_of_a_state_takes_the_place_of_older_ones(runs):
    client, make = runs
    old, new, newest = make(), make(), make()
    register(client, old, "lstm-states-stacked")
    mlflow_runs.drop_older_runs(client, new, "k")
    kept = [run.info.run_id for run in mlflow_runs.finished_runs(client)["k"]]
    assert kept == [newest, new]
    assert client.search_model_versions("name = 'lstm-states-stacked'") == []


def use_as_model(client, run):
    register(client, run, "prod")


def use_alias(client, run):
    version = register(client, run, "lstm-states-stacked")
    client.set_registered_model_alias("lstm-states-stacked", "live", version)


def use_note(client, run):
    client.set_tag(run, "mlflow.note.content", "the one in the paper")


@pytest.mark.parametrize("use", [use_as_model, use_alias, use_note])
def test_a_run_that_people_use_stays_but_is_no_longer_that_of_the_state(runs, use):
    client, make = runs
    old = make()
    use(client, old)
    versions = len(client.search_model_versions(f"run_id = '{old}'"))
    new = make()
    mlflow_runs.drop_older_runs(client, new, "k")
    assert [run.info.run_id for run in mlflow_runs.finished_runs(client)["k"]] == [new]
    assert client.get_run(old).info.lifecycle_stage == "active"
    assert client.get_run(old).data.tags["stage.replaced_by"] == new
    assert len(client.search_model_versions(f"run_id = '{old}'")) == versions


def test_a_run_of_a_process_that_nobody_has_buried_is_dead(runs):
    client, _ = runs
    child = subprocess.Popen(["sleep", "0"])
    tags = processes.process_tags() | {
        processes.PROCESS: str(child.pid),
        processes.STARTED: f"{psutil.Process(child.pid).create_time():.2f}",
    }
    run = client.create_run(client.experiment_id, tags=tags).info.run_id
    wait_for(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert [found.info.run_id for found in mlflow_runs.close_dead_runs(client)] == [run]
    child.wait()


@pytest.mark.parametrize(
    "address",
    ["mlruns", "./mlruns", "file:///tmp/mlruns", "file:mlruns", "127.0.0.1:5056", "localhost:5000",
     "sqlite://x.db", "sqlite:x.db", "x.db"],
)  # fmt: skip
def test_an_address_where_no_runs_can_be_kept_is_told_with_what_can(tmp_path, monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(StoreError) as error:
        mlflow_runs.connect(tmp_path)
    assert f"MLFLOW_TRACKING_URI is {address!r}" in str(error.value)
    assert "http://host:port for a server or sqlite:///path" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_any_path_names_the_file_beside_its_clone(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for folder in ("/a b/é #1", "/50%", "/a%20b", "/why?", "/it's/{x}"):
        root = Path(folder)
        uri = mlflow_runs.store_uri(root)
        assert file_of(uri) == root / "mlflow.db"
        assert str(sqlalchemy.make_url(uri).database) == f"{folder}/mlflow.db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # as a kernel is told
        assert mlflow_runs.store_uri(root) == uri
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert mlflow_runs.store_uri(Path("/c/.dvc/tmp/exps/tmp1")) == "sqlite:////c/mlflow.db"


def test_a_store_at_an_odd_path_keeps_all_beside_the_clone(tmp_path, monkeypatch, store_put_back):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = make_project(tmp_path / "a%20b ?é")
    client = mlflow_runs.connect(root)
    made = mlflow_runs.create_run(client, "stacked", {"epochs": 1}, root, key="k")
    (root / "report.html").write_text("page", encoding="utf-8")
    client.log_artifact(made.info.run_id, str(root / "report.html"))
    assert [file.path for file in client.list_artifacts(made.info.run_id)] == ["report.html"]
    kept = root / "mlartifacts" / made.info.run_id / "artifacts/report.html"
    assert kept.read_text(encoding="utf-8") == "page"
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


@pytest.fixture(scope="module")
def made_store(tmp_path_factory):
    """A clone with a store, a run of which has artifacts."""
    root = make_project(tmp_path_factory.mktemp("made") / "clone")
    report = root / "reports/stacked"
    (report / "figures").mkdir(parents=True)
    (report / "report.html").write_text("page", encoding="utf-8")
    (report / "figures/one.png").write_bytes(b"picture")
    with own_store(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")  # MLflow sets it
        patch.setenv("DVC_EXP_NAME", "swift-fox")
        client = mlflow_runs.connect(root)
        run = mlflow_runs.create_run(client, "stacked", {"epochs": 1}, root, key="k")
        mlflow_runs.close_run(client, run.info.run_id, "FINISHED", report)
    return root, run.info.run_id


@pytest.fixture
def copied(made_store, tmp_path, monkeypatch, store_put_back):
    """A copy of it, as `cp -a` makes one."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # By the id of a run alone MLflow remembers where its artifacts were.
    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())
    root, run_id = made_store
    return shutil.copytree(root, tmp_path / "copy"), run_id


def test_the_run_of_an_experiment_has_its_name(made_store, monkeypatch, store_put_back):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = mlflow_runs.connect(made_store[0]).get_run(made_store[1])
    assert run.info.run_name == "stacked @no-commit swift-fox"
    assert run.data.tags["dvc.experiment"] == "swift-fox"


def test_a_copy_of_a_clone_keeps_artifacts_beside_it(copied, made_store, monkeypatch):
    root, run_id = copied
    client = mlflow_runs.connect(root)
    here = (root / "mlartifacts").as_uri()
    assert client.get_experiment_by_name(client.name).artifact_location == here
    assert client.get_run(run_id).info.artifact_uri == f"{here}/{run_id}/artifacts"
    run = mlflow_runs.create_run(client, "stacked", {}, root, key="k")
    assert run.info.artifact_uri.startswith(f"{here}/")
    shutil.rmtree(root / "mlartifacts")
    assert mlflow_runs.missing_artifacts(client, run_id, root / "reports/stacked")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # MLflow sets it
    original = mlflow_runs.connect(made_store[0])
    assert mlflow_runs.missing_artifacts(original, run_id, made_store[0] / "reports/stacked") == []


def test_artifacts_that_are_gone_or_cut_short_are_named_and_restored(copied):
    root, run_id = copied
    client, report = mlflow_runs.connect(root), root / "reports/stacked"
    (root / "mlartifacts" / run_id / "artifacts/figures/one.png").write_bytes(b"pic")
    assert mlflow_runs.restore_artifacts(client, run_id, report) == ["figures/one.png"]
    shutil.rmtree(root / "mlartifacts")
    assert mlflow_runs.restore_artifacts(client, run_id, report) == ["figures", "report.html"]
    assert mlflow_runs.missing_artifacts(client, run_id, report) == []
    kept = root / "mlartifacts" / run_id / "artifacts/figures/one.png"
    assert kept.read_bytes() == b"picture"


def test_a_page_that_was_rendered_again_is_not_missing(copied):
    root, run_id = copied
    client, report = mlflow_runs.connect(root), root / "reports/stacked"
    (report / "report.html").write_text("page in another style", encoding="utf-8")
    assert mlflow_runs.restore_artifacts(client, run_id, report) == []


def test_a_store_of_another_mlflow_is_told_in_one_line(copied):
    root, _ = copied
    with closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(StoreError, match=r"another version of MLflow than 3.*\(mv mlflow\.db"):
        mlflow_runs.connect(root)


def test_two_first_connections_at_once_make_one_experiment(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code = (
        "import sys; from pathlib import Path; from notebook_pipeline import mlflow_runs; "
        "print(mlflow_runs.connect(Path(sys.argv[1])).experiment_id)"
    )
    command = [sys.executable, "-c", code, str(make_project(tmp_path))]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)
    ]
    told = [process.communicate() for process in both]
    assert [out for out, _ in told] == [told[0][0]] * 2
    assert [process.returncode for process in both] == [0, 0]


def git(folder, *arguments):
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_what_git_does_not_tell_is_not_told_as_clean(tmp_path, monkeypatch):
    outside = mlflow_runs.git_state(tmp_path)
    assert (outside.commit, outside.dirty) == ("", None)
    assert "not a git repository" in outside.problem
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "first")
    state = mlflow_runs.git_state(tmp_path)
    assert (len(state.commit), state.dirty, state.problem) == (40, False, "")
    (tmp_path / "new.py").touch()
    git(tmp_path, "config", "status.showUntrackedFiles", "no")
    assert mlflow_runs.git_state(tmp_path).dirty is True
    monkeypatch.setenv("GIT_DIR", "/elsewhere")  # as within a hook of git
    assert mlflow_runs.git_state(tmp_path).commit == state.commit
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    refused = mlflow_runs.git_state(tmp_path)
    assert (refused.commit, refused.dirty) == ("", None)
    assert "dubious ownership" in refused.problem
    monkeypatch.setenv("PATH", "")
    assert mlflow_runs.git_state(tmp_path).problem == "git: No such file or directory"
