"""Which logged model of a notebook is MLflow's champion."""

import pytest
from mlflow.entities import LoggedModelOutput, Metric, Param

from notebook_pipeline import mlflow_runs
from notebook_pipeline.project import Champion
from tests.toy_clone import make_project

pytestmark = pytest.mark.usefixtures("store_put_back")

RULE = Champion("loss", same=("data",))
NAME = "lstm-states-stacked"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("registry") / "clone")


@pytest.fixture
def finish(project, request):
    """A function that makes a finished run of a state, whose model is registered."""
    client = mlflow_runs.connect(project)
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)

    def finish(loss, *, data="own", key=None, has_model=True):
        run = mlflow_runs.create_run(client, "stacked", {}, project, key=key or str(loss))
        run_id = run.info.run_id
        client.log_batch(run_id, [Metric("loss", loss, 0, 0)], [Param("data", data)])
        if has_model:
            model = client.create_logged_model(client.experiment_id, source_run_id=run_id)
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
        client.set_terminated(run_id, "FINISHED")
        mlflow_runs.drop_older_runs(client, run_id, key or str(loss))
        mlflow_runs.register_champion(client, run_id, "stacked", RULE)
        return run_id

    finish.client = client
    return finish


def champion(client):
    return client.get_model_version_by_alias(NAME, "champion").run_id


def test_the_model_with_the_least_of_its_metric_is_the_champion(finish):
    good = finish(0.5)
    finish(0.7)
    assert champion(finish.client) == good
    better = finish(0.4)
    assert champion(finish.client) == better


def test_a_champion_that_cannot_be_compared_makes_way(finish):
    finish(0.1, data="other")
    here = finish(0.9)
    assert champion(finish.client) == here


def test_a_run_by_force_takes_over_from_the_run_of_the_same_state(finish):
    before = finish(0.3, key="k")
    run = finish(0.3, key="k")
    assert champion(finish.client) == run
    versions = finish.client.search_model_versions(f"name = '{NAME}'")
    assert before not in [version.run_id for version in versions]


def test_a_run_that_logged_no_model_registers_none(finish):
    finish(0.2, has_model=False)
    assert finish.client.search_registered_models() == []
