"""What a notebook hands over: to its folder, to MLflow alone, and what it holds it against."""

from dataclasses import replace

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from notebook_pipeline import mlflow_runs
from notebook_pipeline.expectations import read_expectations
from notebook_pipeline.results import BACKUP_VARIABLE, Results
from tests.toy_clone import make_project

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


def test_steps_go_to_mlflow_and_to_a_table_from_which_they_come_back(run):
    results, run_id, client = run
    steps = [("a", 0, 0.1), ("a", 1, float("nan")), ("b", 0, np.float32(0.1))]
    for series, step, value in steps:
        results.log_step(series, step, {"place": value, "speed": 2})
    other = client.create_run(client.experiment_id).info.run_id
    mlflow_runs.fill_run(client, other, results.directory)
    for name, steps in {"place/a": 2, "speed/a": 2, "place/b": 1, "speed/b": 1}.items():
        logged, restored = (
            [(point.step, str(point.value)) for point in client.get_metric_history(one, name)]
            for one in (run_id, other)
        )
        assert restored == logged
        assert len(logged) == steps


def test_a_series_that_starts_again_takes_the_place_of_what_it_logged(run):
    results, *_ = run
    for series, step in [("a", 0), ("a", 1), ("b", 0), ("x/a", 0), ("a", 0), ("a", 1), ("a", 1)]:
        results.log_step(series, step, {"place": step})
    table = pd.read_csv(results.directory / "plots/steps.csv")
    logged = list(zip(table["name"], table["step"], strict=True))
    assert sorted(logged) == [("place/a", 0), ("place/a", 1), ("place/b", 0), ("place/x/a", 0)]


def test_training_is_kept_where_the_runner_says(run, tmp_path, monkeypatch):
    results, _, _ = run
    monkeypatch.delenv(BACKUP_VARIABLE, raising=False)
    assert results.backup is None
    monkeypatch.setenv(BACKUP_VARIABLE, str(tmp_path / "kept"))
    assert results.backup == tmp_path / "kept"


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
