"""One finished run for each state of a stage, and commands that tell where things come from."""

import json
import shutil

import nbformat
import pytest
import yaml

from lstm_states import tracking
from lstm_states.config import CONFIGURATIONS, TRIALS
from lstm_states.pipeline.record import read_provenance, read_run
from lstm_states.pipeline.stages import locked_states

pytestmark = pytest.mark.slow

STAGE = "experiment@variable_length"
FOLDER = "reports/variable_length"


def finished(clone):
    """The finished runs of the stage, by key."""
    runs = tracking.finished_runs(clone.client())
    return {
        key: [run.info.run_id for run in found]
        for key, found in runs.items()
        if found[0].data.tags["stage"] == STAGE
    }


def test_a_run_by_force_takes_the_place_of_the_run_of_the_same_state(clone):
    before = finished(clone)
    bytes_before = (clone.path / FOLDER / "report.html").read_bytes()
    clone.run("dvc", "repro", "--force", "--single-item", STAGE)
    key = locked_states(clone.path)[STAGE].key
    [run] = finished(clone)[key]
    assert [run] != before[key]
    assert {k: v for k, v in finished(clone).items() if k != key} == {
        k: v for k, v in before.items() if k != key
    }
    assert (clone.path / FOLDER / "report.html").read_bytes() == bytes_before
    client = clone.client()
    name = "lstm-states-variable_length"
    assert client.get_model_version_by_alias(name, "champion").run_id == run
    versions = client.search_model_versions(f"name = '{name}'")
    assert [version.run_id for version in versions].count(before[key][0]) == 0
    assert "0 problems" in clone.run("lstm-states", "status")


def test_a_state_that_dvc_restores_keeps_its_run(clone):
    key = locked_states(clone.path)[STAGE].key
    kept = finished(clone)[key]
    params = (clone.path / "params.yaml").read_text()
    clone.set_parameters({"variable_length": {"learning_rate": 0.02}})
    clone.run("dvc", "repro", "--single-item", STAGE)
    other = locked_states(clone.path)[STAGE].key
    (clone.path / "params.yaml").write_text(params)
    assert "is cached" in clone.run("dvc", "repro", "--single-item", STAGE)
    assert finished(clone)[key] == kept
    assert len(finished(clone)[other]) == 1
    # The record that lay there was of the other state's run.
    clone.run("lstm-states", "record")
    assert read_run(clone.path / FOLDER)["run"] == kept[0]
    assert "0 problems" in clone.run("lstm-states", "status")


@pytest.fixture(scope="module")
def pulled(clone, tmp_path_factory):
    """A fresh clone with outputs pulled from a remote, where nothing has run."""
    folder = tmp_path_factory.mktemp("pulled")
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--allow-empty", "--message", "results")
    return clone.pulled_into(folder / "clone", folder / "remote")


def test_where_outputs_were_pulled_runs_are_made_from_them_once(clone, pulled):
    told = pulled.run("lstm-states", "status", ok=False)
    assert told.count("MLflow has no run of it: `lstm-states record` makes it") == 9
    pulled.run("lstm-states", "repro")
    assert pulled.run("lstm-states", "record") == ""
    runs = tracking.finished_runs(pulled.client())
    assert {len(found) for found in runs.values()} == {1}
    by_name = {found[0].data.tags["configuration"]: found[0] for found in runs.values()}
    assert set(by_name) == {*CONFIGURATIONS, *TRIALS}
    client = clone.client()
    originals = tracking.finished_runs(client)
    for key, [run] in runs.items():
        [original] = originals[key]
        assert run.data.params == original.data.params
        assert run.data.tags["restored"] == "true"
        same = {
            k: v for k, v in original.data.metrics.items() if k.split("/")[0] in ("test", "loss")
        }
        assert (
            same.items()
            <= {k: pytest.approx(v, rel=1e-5) for k, v in run.data.metrics.items()}.items()
        )
    assert "0 problems" in pulled.run("lstm-states", "status")


def test_losses_of_every_epoch_come_back(clone, pulled):
    ours, theirs = (
        (one.client(), finished(one)[locked_states(one.path)[STAGE].key][0])
        for one in (pulled, clone)
    )
    for seed in (0, 1):
        curves = [
            [
                (point.step, point.value)
                for point in client.get_metric_history(run, f"val_loss/seed_{seed}")
            ]
            for client, run in (ours, theirs)
        ]
        assert [step for step, _ in curves[0]] == [step for step, _ in curves[1]]
        assert [v for _, v in curves[0]] == pytest.approx([v for _, v in curves[1]], rel=1e-5)


def test_status_names_what_no_longer_matches(pulled):
    params = (pulled.path / "params.yaml").read_text()
    pulled.set_parameters({"variable_length": {"epochs": 1}})
    told = pulled.run("lstm-states", "status", ok=False)
    assert f"{STAGE}: is not what it was made from: variable_length.epochs; `dvc repro`" in told
    (pulled.path / "params.yaml").write_text(params)
    report = pulled.path / FOLDER / "report.html"
    report.unlink()
    (pulled.path / FOLDER / "metrics.json").write_text("{}\n")
    told = pulled.run("lstm-states", "status", ok=False)
    assert f"{FOLDER}/report.html is missing" in told
    assert f"{FOLDER}/metrics.json is not what dvc.lock tells" in told
    pulled.run("dvc", "checkout")
    pulled.run("git", "checkout", "--", FOLDER)
    assert "0 problems" in pulled.run("lstm-states", "status")


def test_status_finds_what_belongs_to_nothing(pulled):
    client = pulled.client()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    run = client.create_run(experiment.experiment_id, tags={"stage": "experiment@gone"})
    client.set_terminated(run.info.run_id, "FINISHED")
    shutil.copytree(pulled.path / FOLDER, pulled.path / "reports/gone")
    lock = pulled.path / "dvc.lock"
    kept = lock.read_text()
    content = yaml.safe_load(kept)
    content["stages"]["experiment@gone"] = content["stages"][STAGE]
    lock.write_text(yaml.safe_dump(content, sort_keys=False))
    told = pulled.run("lstm-states", "status", ok=False)
    lock.write_text(kept)
    shutil.rmtree(pulled.path / "reports/gone")
    client.delete_run(run.info.run_id)
    assert "dvc.lock: experiment@gone is no stage" in told
    assert f"MLflow: run {run.info.run_id} is of experiment@gone, which is no stage" in told
    assert "reports/gone: no stage makes it" in told


def test_a_record_that_is_torn_or_of_another_run_is_told_and_mended(clone):
    path = clone.path / FOLDER / "run.json"
    kept = path.read_text()
    run = json.loads(kept)["run"]
    for text, told in (("", "no run"), (kept.replace(run, "f" * 32), "f" * 32)):
        path.write_text(text)
        said = clone.run("lstm-states", "status", ok=False)
        assert f"{STAGE}: variable_length/run.json tells of {told}: `lstm-states record`" in said
        clone.run("lstm-states", "record")
        assert path.read_text() == kept


def test_a_figure_tells_which_run_made_it(clone, tmp_path):
    copied = tmp_path / "figure.png"
    shutil.copy(clone.path / FOLDER / "figures/states.png", copied)
    origin = yaml.safe_load(clone.run("lstm-states", "origin", str(copied)))
    assert origin["file"] == f"{FOLDER}/figures/states.png"
    state = locked_states(clone.path)[STAGE]
    assert origin["run"] == finished(clone)[state.key][0]
    assert len(origin["commit"]) == 40
    assert origin["made_from"]["key"] == state.key
    strange = clone.run("lstm-states", "origin", "README.md", ok=False)
    assert "README.md: no report here holds a file of the same bytes" in strange
    record = clone.path / FOLDER / "run.json"
    kept = record.read_text()
    record.write_text(kept.replace(state.key, "0" * 64))  # as `git checkout` and `dvc checkout` do
    other = clone.run("lstm-states", "origin", str(copied), ok=False)
    record.write_text(kept)
    assert f"{FOLDER}/figures/states.png is the same file; `lstm-states record` finds" in other


def test_a_report_says_what_it_was_made_from_and_nothing_that_varies(clone):
    state = locked_states(clone.path)[STAGE]
    made = read_provenance(clone.path / FOLDER)
    lock = yaml.safe_load((clone.path / "dvc.lock").read_text())["stages"][STAGE]
    digests = {dep["path"]: dep["md5"] for dep in lock["deps"]}
    assert made["key"] == state.key
    assert made["parameters"] == lock["params"]["params.yaml"]
    assert made["data"] == {
        "data/processed/japanese_vowels.zarr": digests["data/processed/japanese_vowels.zarr"]
    }
    assert made["environment"] == digests["requirements.lock"]
    assert (
        made["code"]["notebooks/03_variable_length.ipynb"]
        == digests["notebooks/03_variable_length.ipynb"]
    )
    page = (clone.path / FOLDER / "report.html").read_text()
    assert digests["requirements.lock"] in page
    record = read_run(clone.path / FOLDER)
    notebook = (clone.path / FOLDER / "report.ipynb").read_text()
    for varies in (record["run"], record["commit"], record["started"], str(clone.path)):
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
    told = pulled.run("lstm-states", "status", ok=False)
    assert "mlflow.db: file is not a database; move it out of the way" in told
    store.rename(store.with_suffix(".damaged"))
    assert pulled.run("lstm-states", "record").count("made the run of") == 9
    assert "0 problems" in pulled.run("lstm-states", "status")
