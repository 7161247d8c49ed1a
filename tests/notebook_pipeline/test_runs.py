"""Which runs stay in MLflow, what they are called, and what git tells of them."""

import subprocess
import time

import psutil
import pytest

from notebook_pipeline import mlflow_runs
from notebook_pipeline.mlflow_runs import processes
from tests.repository import git
from tests.toy_clone import make_project, wait_for

pytestmark = pytest.mark.usefixtures("store_put_back")


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
