"""What goes to MLflow alone, and which runs stay there."""

import subprocess
import time

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
import xarray as xr

from lstm_states import figures, tracking
from lstm_states.tracking import processes


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A recorder with an active run in a store of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    root = tmp_path / "root"
    root.mkdir()
    client = tracking.connect(root)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    active = mlflow.start_run(experiment_id=experiment.experiment_id)
    directory = tmp_path / "reports"
    directory.mkdir()
    yield tracking.Recorder(directory, root), active.info.run_id, client
    mlflow.end_run()


def test_what_varies_goes_to_mlflow_and_not_to_the_report(run, tmp_path):
    recorder, run_id, client = run
    taken = xr.DataArray(
        [[[3.0, 1.0, 2.0], [0.5, 0.25, 1.0]]],
        dims=("case", "way", "round"),
        coords={"case": ["100 steps"], "way": ["recomputed", "from kept states"]},
        attrs={"long_name": "Time for one call", "units": "s"},
    )
    recorder.log_varying("streaming", taken, figures.plot_taken(taken, title="Times"))
    assert list(recorder.directory.iterdir()) == []
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
    recorder, _, _ = run
    monkeypatch.delenv(tracking.BACKUP_VARIABLE, raising=False)
    assert recorder.backup is None
    monkeypatch.setenv(tracking.BACKUP_VARIABLE, str(tmp_path / "kept"))
    assert recorder.backup == tmp_path / "kept"


def test_the_password_of_a_server_is_not_told():
    assert tracking.without_password("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert tracking.without_password("sqlite:////me@home/a.db") == "sqlite:////me@home/a.db"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A function that makes finished runs of one state."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = tracking.connect(tmp_path)

    def make():
        run = tracking.create_run(
            client, "stacked", {"epochs": 1}, tmp_path, notebook="notebooks/a.ipynb", key="k"
        )
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
    tracking.drop_older_runs(client, new, "k")
    kept = [run.info.run_id for run in tracking.finished_runs(client)["k"]]
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
    tracking.drop_older_runs(client, new, "k")
    assert [run.info.run_id for run in tracking.finished_runs(client)["k"]] == [new]
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
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    run = client.create_run(experiment.experiment_id, tags=tags).info.run_id
    time.sleep(0.3)  # it has ended, and nobody has waited for it
    assert [found.info.run_id for found in tracking.close_dead_runs(client)] == [run]
    child.wait()
