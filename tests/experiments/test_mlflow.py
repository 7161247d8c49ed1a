"""What MLflow holds after the pipeline ran: the runs, and a round trip of model and traces."""

import json
import re

import keras
import mlflow
import numpy as np
import pytest
import xarray as xr
import yaml

from experiments.data.samples import load_sequences
from experiments.forecasting.settings import SECTIONS as CONFIGURATIONS
from lstm_states import open_traces, record_traces
from notebook_pipeline.stages.states import notebook_stages
from tests.leaks import own_store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(clone):
    return clone.client()


@pytest.fixture(scope="module")
def runs(client):
    experiment = client.get_experiment_by_name("lstm-states")
    found = client.search_runs(
        [experiment.experiment_id], "tags.interactive = 'false' and status = 'FINISHED'",
        order_by=["start_time ASC"],
    )  # fmt: skip
    return {run.data.tags["configuration"]: run for run in reversed(found)}


@pytest.fixture
def own_client(client):
    """The client, its store being that of this process, where MLflow looks for models."""
    with own_store():
        mlflow.set_tracking_uri(client.tracking_uri)
        yield client


@pytest.fixture
def experiments(runs):
    return {name: run for name, run in runs.items() if name in CONFIGURATIONS}


def test_each_trial_has_a_finished_run_with_its_evidence(clone, runs, client):
    stages = notebook_stages(clone.path)
    params = yaml.safe_load((clone.path / "params.yaml").read_text(encoding="utf-8"))
    assert set(runs) == {*stages, *params["sweeps"]}
    for name in stages.keys() - CONFIGURATIONS:
        run = runs[name]
        data = params[name].get("dataset", "")
        assert re.fullmatch(rf"{name} ({data} )?([\d-]+ )?@\w{{7}}", run.info.run_name)
        assert run.data.params == {key: str(value) for key, value in params[name].items()}
        assert run.data.tags["stage"] == name
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert files >= {"report.ipynb", "report.html", "figures", "evidence.json"}


def test_each_configuration_has_a_finished_run_with_everything(clone, experiments, client):
    params = yaml.safe_load((clone.path / "params.yaml").read_text(encoding="utf-8"))
    lock = yaml.safe_load((clone.path / "dvc.lock").read_text(encoding="utf-8"))
    for name, run in experiments.items():
        assert run.info.run_name.startswith(f"{name} {params[name]['dataset']} ")
        assert run.data.params == {key: str(value) for key, value in params[name].items()}
        tags = run.data.tags
        assert tags["stage"] == f"experiment@{name}"
        assert tags["git.dirty"] == "false"
        assert len(tags["mlflow.source.git.commit"]) == 40
        assert len(tags["dvc.lock.sha256"]) == len(tags["params.sha256"]) == 64
        [data] = run.inputs.dataset_inputs
        store = f"data/processed/{params[name]['dataset']}.zarr"
        md5 = next(
            out["md5"] for stage in lock["stages"].values() for out in stage["outs"]
            if out["path"] == store
        )  # fmt: skip
        assert (data.dataset.name, data.dataset.digest) == (params[name]["dataset"], md5)
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert files >= {"report.ipynb", "report.html", "figures", "metrics.json", "states.zarr"}


def test_losses_have_steps_and_results_equal_metrics_json(clone, experiments, client):
    for name, run in experiments.items():
        history = client.get_metric_history(run.info.run_id, "val_loss/seed_1")
        assert [point.step for point in history] == [1, 2]
        record = json.loads(
            (clone.path / f"reports/{name}/metrics.json").read_text(encoding="utf-8")
        )
        for metric, value in record["test"].items():
            assert run.data.metrics[f"test.{metric}"] == pytest.approx(value)
        assert any(key.startswith("baselines.") for key in run.data.metrics)


def test_model_and_traces_come_back_as_they_were(clone, runs, own_client, tmp_path):
    run = runs["variable_length"]
    samples = load_sequences(
        clone.path / "data/processed/japanese_vowels.zarr", target="speaker", mask_value=0.0
    )
    test = samples.isel(sample=samples["part"].values == 2)
    chosen = np.linspace(0, test.sizes["sample"] - 1, 4).astype(int)
    x = test["x"].values[chosen]
    folder = own_client.download_artifacts(run.info.run_id, "states.zarr", str(tmp_path))
    logged = open_traces(folder).load()
    xr.testing.assert_identical(
        logged, open_traces(clone.path / "reports/variable_length/states.zarr").load()
    )
    model_id = run.outputs.model_outputs[0].model_id
    logged_model = own_client.get_logged_model(model_id)
    model = mlflow.tensorflow.load_model(
        logged_model.model_uri, keras_model_kwargs={"compile": False}
    )
    np.testing.assert_allclose(model.predict(x, verbose=0), logged["outputs"], atol=1e-6)
    again = record_traces(model, x)
    np.testing.assert_allclose(again["lstm/cell"], logged["lstm/cell"], atol=1e-6)
    info = mlflow.models.get_model_info(logged_model.model_uri)
    assert info.signature.inputs.inputs[0].shape[2] == 12
    assert info.saved_input_example_info is not None


def test_the_weights_kept_by_dvc_are_the_models(clone, own_client):
    folder = clone.path / "reports/stacked/model"
    model = keras.models.model_from_json((folder / "model.json").read_text(encoding="utf-8"))
    model.load_weights(folder / "model.weights.h5")
    traces = open_traces(clone.path / "reports/stacked/states.zarr")
    assert [layer.name for layer in model.layers[:2]] == list(traces.children)
    champion = own_client.get_model_version_by_alias("lstm-states-stacked", "champion")
    logged = mlflow.tensorflow.load_model(
        f"models:/lstm-states-stacked/{champion.version}", keras_model_kwargs={"compile": False}
    )
    for ours, theirs in zip(model.get_weights(), logged.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
