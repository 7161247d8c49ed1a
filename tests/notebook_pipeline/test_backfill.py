"""One finished run for each state of a stage, and commands that tell where things come from."""

import json
import shutil

import nbformat
import pytest
import yaml

from notebook_pipeline import mlflow_runs
from notebook_pipeline.stages.provenance import read_provenance, read_run
from notebook_pipeline.stages.states import locked_inputs
from tests.notebook_pipeline.light import locked
from tests.toy_clone import Toy

pytestmark = pytest.mark.slow

FOLDER = "reports/walk"
NAMES = {"walk", "double", "timing"}
RECORD = "`python -m notebook_pipeline backfill`"


def finished(toy):
    """The finished runs of the stage, by key."""
    runs = mlflow_runs.finished_runs(toy.client())
    return {
        key: [run.info.run_id for run in found]
        for key, found in runs.items()
        if found[0].data.tags["stage"] == "walk"
    }


def test_a_run_by_force_takes_the_place_of_the_run_of_the_same_state(toy):
    before = finished(toy)
    bytes_before = (toy.path / FOLDER / "report.ipynb").read_bytes()
    toy.run("dvc", "repro", "--force", "--single-item", "walk")
    key = locked_inputs(toy.path)["walk"].key
    [run] = finished(toy)[key]
    assert [run] != before[key]
    assert {k: v for k, v in finished(toy).items() if k != key} == {
        k: v for k, v in before.items() if k != key
    }
    assert (toy.path / FOLDER / "report.ipynb").read_bytes() == bytes_before
    assert "0 problems" in toy.call("status")


def test_a_state_that_dvc_restores_keeps_its_run(toy):
    key = locked_inputs(toy.path)["walk"].key
    kept = finished(toy)[key]
    toy.set_parameters({"walk": {"seed": 5}})
    toy.run("dvc", "repro", "--single-item", "walk")
    other = locked_inputs(toy.path)["walk"].key
    toy.run("git", "checkout", "--", "params.yaml")
    assert "is cached" in toy.run("dvc", "repro", "--single-item", "walk")
    assert finished(toy)[key] == kept
    assert len(finished(toy)[other]) == 1
    # The record that lay there was of the other state's run.
    toy.call("backfill")
    assert read_run(toy.path / FOLDER)["run"] == kept[0]
    toy.run("dvc", "checkout")  # the page of the notebook's own run
    assert "0 problems" in toy.call("status")


@pytest.fixture(scope="module")
def pulled(toy, tmp_path_factory):
    """A fresh clone with outputs pulled from a remote, where nothing has run."""
    folder = tmp_path_factory.mktemp("pulled")
    toy.commit("results")
    return Toy(toy.pulled_into(folder / "clone", folder / "remote").path)


def test_where_outputs_were_pulled_runs_are_made_from_them_once(toy, pulled):
    told = pulled.call("status", ok=False)
    assert told.count(f"MLflow has no run of it: {RECORD} creates it") == 3
    pulled.call("repro")
    assert pulled.call("backfill") == ""
    runs = mlflow_runs.finished_runs(pulled.client())
    assert {len(found) for found in runs.values()} == {1}
    assert {found[0].data.tags["configuration"] for found in runs.values()} == NAMES
    originals = mlflow_runs.finished_runs(toy.client())
    for key, [run] in runs.items():
        [original] = originals[key]
        assert run.data.params == original.data.params
        assert run.data.tags["restored"] == "true"
        same = {k: v for k, v in original.data.metrics.items() if k.startswith("test.")}
        assert same.items() <= run.data.metrics.items()
    assert "0 problems" in pulled.call("status")


def test_the_values_of_every_step_come_back(toy, pulled):
    ours, theirs = (
        (one.client(), finished(one)[locked_inputs(one.path)["walk"].key][0])
        for one in (pulled, toy)
    )
    curves = [
        [(point.step, point.value) for point in client.get_metric_history(run, "place/walk")]
        for client, run in (ours, theirs)
    ]
    assert len(curves[0]) == 30
    assert curves[0] == curves[1]


def test_status_names_what_no_longer_matches(pulled):
    pulled.set_parameters({"walk": {"steps": 7}})
    report = pulled.path / FOLDER / "report.ipynb"
    report.unlink()
    (pulled.path / FOLDER / "metrics.json").write_text("{}\n", encoding="utf-8")
    told = pulled.call("status", ok=False)
    assert "walk: has changed since it ran: walk.steps; `dvc repro`" in told
    assert f"{FOLDER}/report.ipynb is missing" in told
    assert f"{FOLDER}/metrics.json does not match dvc.lock" in told
    pulled.run("dvc", "checkout")
    pulled.run("git", "checkout", "--", FOLDER, "params.yaml")
    assert "0 problems" in pulled.call("status")


def test_status_finds_what_belongs_to_nothing(pulled):
    shutil.copytree(pulled.path / FOLDER, pulled.path / "reports/gone")
    lock = pulled.path / "dvc.lock"
    content = yaml.safe_load(lock.read_text(encoding="utf-8"))
    content["stages"]["gone"] = content["stages"]["walk"]
    lock.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    told = pulled.call("status", ok=False)
    pulled.run("git", "checkout", "--", "dvc.lock")
    shutil.rmtree(pulled.path / "reports/gone")
    assert "dvc.lock: gone is not a stage" in told
    assert "reports/gone: no stage makes it" in told
    assert "\n2 problems" in told


def test_runs_of_a_stage_that_was_removed_are_told_once_and_are_no_problem(pulled):
    pulled.call("backfill")
    client = pulled.client()
    runs = []
    for state in ("FINISHED", "FAILED"):
        runs.append(client.create_run(client.experiment_id, tags={"stage": "gone"}).info.run_id)
        client.set_terminated(runs[-1], state)
    told = pulled.call("status")
    for run in runs:
        client.delete_run(run)
    assert "2 of gone, which is no longer a stage" in told
    assert told.count("gone") == 1
    assert "\n0 problems" in told


def test_a_record_that_is_torn_or_of_another_run_is_told_and_mended(toy):
    path = toy.path / FOLDER / "run.json"
    kept = path.read_text(encoding="utf-8")
    run = json.loads(kept)["run"]
    for text, told in (("", "no run"), (kept.replace(run, "f" * 32), "f" * 32)):
        path.write_text(text, encoding="utf-8")
        said = toy.call("status", ok=False)
        assert f"walk: walk/run.json names {told}: {RECORD}" in said
        toy.call("backfill")
        assert path.read_text(encoding="utf-8") == kept


def test_a_figure_tells_which_run_made_it(toy, tmp_path):
    copied = tmp_path / "figure.png"
    shutil.copy(toy.path / FOLDER / "figures/walk.png", copied)
    origin = yaml.safe_load(toy.call("origin", str(copied)))
    assert origin["file"] == f"{FOLDER}/figures/walk.png"
    state = locked_inputs(toy.path)["walk"]
    assert origin["run"] == finished(toy)[state.key][0]
    assert len(origin["commit"]) == 40
    assert origin["made_from"]["key"] == state.key
    strange = toy.call("origin", "dvc.yaml", ok=False)
    assert "dvc.yaml: no report contains a file with the same bytes" in strange
    record = toy.path / FOLDER / "run.json"
    kept = record.read_text(encoding="utf-8")
    record.write_text(
        kept.replace(state.key, "0" * 64), encoding="utf-8"
    )  # as `git checkout` and `dvc checkout` do
    other = toy.call("origin", str(copied), ok=False)
    record.write_text(kept, encoding="utf-8")
    assert f"{FOLDER}/figures/walk.png is the same file; {RECORD} finds" in other


def test_a_report_says_what_it_was_made_from_and_nothing_that_varies(toy):
    state = locked_inputs(toy.path)["walk"]
    made = read_provenance(toy.path / FOLDER)
    lock = locked(toy)["walk"]
    digests = {dep["path"]: dep["md5"] for dep in lock["deps"]}
    assert made["key"] == state.key
    assert made["parameters"] == lock["params"]["params.yaml"]
    assert made["data"] == {"data/numbers.csv": digests["data/numbers.csv"]}
    assert made["environment"] == digests["requirements.lock"]
    notebook = "notebooks/01_walk.ipynb"
    assert made["code"] == {notebook: digests[notebook]}
    page = (toy.path / FOLDER / "report.html").read_text(encoding="utf-8")
    assert digests["requirements.lock"] in page
    record = read_run(toy.path / FOLDER)
    notebook = (toy.path / FOLDER / "report.ipynb").read_text(encoding="utf-8")
    for varies in (record["run"], record["commit"], record["started"], str(toy.path)):
        assert varies not in page
        assert varies not in notebook
    assert set(nbformat.reads(notebook, as_version=4).metadata) == {
        "kernelspec",
        "language_info",
        "made_from",
    }
    assert json.dumps(record["machine"])


# The last to look at that store: this process keeps the old file open.
def test_a_damaged_store_is_told_and_made_anew_from_the_outputs(pulled):
    store = pulled.path / "mlflow.db"
    store.write_bytes(b"not a database, but long enough to be read as the head of one" * 40)
    told = pulled.call("status", ok=False)
    assert "mlflow.db: file is not a database; move it out of the way" in told
    store.rename(store.with_suffix(".damaged"))
    assert pulled.call("backfill").count("created the run of") == 3
    assert "0 problems" in pulled.call("status")
