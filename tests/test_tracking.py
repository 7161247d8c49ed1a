"""What goes to MLflow alone."""

import mlflow
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lstm_states import figures, tracking


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
