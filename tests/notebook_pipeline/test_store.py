"""Where runs are kept: addresses of stores, copies of clones, artifacts that are gone."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections import OrderedDict
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from mlflow.tracking._tracking_service import utils

from notebook_pipeline import mlflow_runs
from notebook_pipeline.errors import StoreError
from notebook_pipeline.stages.provenance import write_run
from notebook_pipeline.stages.store_address import file_of
from tests.leaks import own_store
from tests.toy_clone import make_project

pytestmark = pytest.mark.usefixtures("store_put_back")


def test_the_password_of_a_server_is_not_told():
    assert mlflow_runs.without_password("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert mlflow_runs.without_password("sqlite:////me@home/a.db") == "sqlite:////me@home/a.db"


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


def test_a_page_made_later_goes_to_the_run_of_its_report(copied):
    root, run_id = copied
    client, page = mlflow_runs.connect(root), root / "reports/stacked/explorer.html"
    page.write_text("to explore", encoding="utf-8")

    def kept(record):
        write_run(page.parent, record)
        mlflow_runs.add_to_run(page, root)
        return "explorer.html" in {file.path for file in client.list_artifacts(run_id)}

    (page.parent / "run.json").unlink(missing_ok=True)
    mlflow_runs.add_to_run(page, root)  # of a report that knows no run
    assert not kept({"run": run_id, "store": "http://elsewhere"})
    assert not kept({"run": "0" * 32, "store": mlflow_runs.store_uri(root)})  # deleted since
    assert kept({"run": run_id, "store": mlflow_runs.store_uri(root)})
    page.write_text("made again", encoding="utf-8")
    assert mlflow_runs.missing_artifacts(client, run_id, page.parent) == []


def test_a_store_of_another_mlflow_is_told_in_one_line(copied):
    root, _ = copied
    with closing(sqlite3.connect(root / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    with pytest.raises(StoreError, match=r"another version of MLflow than 3.*\(mv mlflow\.db"):
        mlflow_runs.connect(root)


KILLED_AT_HALF = """
    import os, signal, sys
    from pathlib import Path
    from alembic.runtime.migration import HeadMaintainer
    from notebook_pipeline import mlflow_runs

    note = HeadMaintainer.update_to_step

    def killed(self, step):  # its tables are there, and not noted
        if step.revision.doc == "add model version tags table":
            os.kill(os.getpid(), signal.SIGKILL)
        note(self, step)

    HeadMaintainer.update_to_step = killed
    mlflow_runs.connect(Path(sys.argv[1]))
"""


def test_killed_while_the_tables_are_made_the_store_is_usable(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = make_project(tmp_path)
    command = [sys.executable, "-c", textwrap.dedent(KILLED_AT_HALF), str(root)]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert mlflow_runs.connect(root).experiment_id


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
