"""Faults of the environment, one by one: what is said, and that nothing is lost."""

import http.server
import signal
import sqlite3
import subprocess
import threading
from contextlib import closing

import pytest
from urllib3.util import connection

from notebook_pipeline import mlflow_runs
from notebook_pipeline.errors import NotebookError, StoreError
from notebook_pipeline.mlflow_runs import store
from notebook_pipeline.run import preflight
from notebook_pipeline.run.preflight import check_kernel
from tests.toy_clone import make_project, wait_for

pytestmark = pytest.mark.usefixtures("store_put_back")


@pytest.fixture
def file(tmp_path):
    """The store of a repository, with its tables."""
    mlflow_runs.connect(make_project(tmp_path))
    return tmp_path / "mlflow.db"


def test_a_locked_store_is_told_after_some_patience(file, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.2)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"mlflow.db: database is locked; another process has"):
            mlflow_runs.connect(file.parent)
    mlflow_runs.connect(file.parent)


def test_a_store_that_is_held_for_a_moment_is_waited_for(file):
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.5, other.execute, ["ROLLBACK"])
        release.start()
        mlflow_runs.connect(file.parent)
        release.join()


def test_a_damaged_store_is_told_with_the_way_out(file):
    file.write_bytes(b"\0" * 5000)
    kept = file.read_bytes()
    with pytest.raises(StoreError, match=r"not a database; move .*command `backfill`"):
        mlflow_runs.connect(file.parent)
    assert file.read_bytes() == kept


def test_a_store_in_a_folder_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none/mlflow.db")
    with pytest.raises(StoreError, match=r"none/mlflow.db: unable to open database file"):
        mlflow_runs.connect(make_project(tmp_path))


def test_a_server_that_is_not_there_is_asked_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    connect, asked = connection.create_connection, []
    monkeypatch.setattr(
        connection, "create_connection", lambda *to, **o: asked.append(to) or connect(*to, **o)
    )
    with pytest.raises(StoreError, match=r"127.0.0.1:9, which can't be used: .*refused"):
        mlflow_runs.connect(make_project(tmp_path))
    assert [to[0] for to in asked] == [("127.0.0.1", 9)]


def test_a_server_that_says_nothing_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 1)
    silence = threading.Event()

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            silence.wait()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(StoreError, match=r"can't be used: .*timed out"):
            mlflow_runs.connect(make_project(tmp_path))
        silence.set()
        server.shutdown()


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_server_that_refuses_is_asked_once_and_told_without_the_password(
    tmp_path, monkeypatch, status
):
    asked = []

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(status)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{address}")
        with pytest.raises(StoreError, match=f"http://{address}, which can't be used: ") as error:
            mlflow_runs.connect(make_project(tmp_path))
        server.shutdown()
    assert len(asked) == 1
    assert str(status) in str(error.value)
    assert "secret" not in str(error.value)


def test_a_missing_kernel_is_told_with_what_installs_it(monkeypatch):
    check_kernel()
    monkeypatch.setattr(preflight, "KERNEL", "no-such-kernel")
    with pytest.raises(NotebookError, match=r"has no ipykernel to run .*-m pip install ipykernel"):
        check_kernel()


@pytest.fixture
def report(toy):
    """Of what there is before, every byte must be there after, too."""
    kept = {name: toy.path / f"reports/walk/{name}" for name in ("report.ipynb", "report.html")}
    before = {name: path.read_bytes() for name, path in kept.items()}
    yield before
    toy.run("git", "checkout", "--", "notebooks")
    assert {name: path.read_bytes() for name, path in kept.items()} == before


@pytest.fixture
def mounted(toy):
    """Run a command of the toy in a namespace where something is mounted, if that may be done."""
    try:
        subprocess.run(["unshare", "-rm", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mount namespaces here")

    def run(mount: str) -> str:
        command = f"{mount} && python -m notebook_pipeline run walk"
        return toy.run("unshare", "-rm", "sh", "-c", command, ok=False)

    return run


def newest_run(toy):
    return mlflow_runs.search_runs(toy.client())[0]


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_report_stays(toy, mounted, report):
    (toy.path / "reports/failed").mkdir(exist_ok=True)
    toy.insert("walk", "(run.directory / 'large').write_bytes(bytes(10**6))", at=5)
    told = mounted("mount -t tmpfs -o size=300k none reports/failed")
    assert "No space left on device" in told
    assert "Traceback" not in told[told.index("python -m notebook_pipeline:") :]
    assert newest_run(toy).info.status == "FAILED"


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_told_before_a_kernel_starts(toy, mounted, report):
    before = newest_run(toy).info.run_id
    told = mounted("mount --bind .dvc/cache .dvc/cache && mount -o remount,ro,bind .dvc/cache")
    assert "DVC's cache" in told
    assert "can't be written: make it writable" in told
    assert newest_run(toy).info.run_id == before


@pytest.mark.slow
def test_data_that_changes_under_way_is_told_and_makes_no_report(toy, report):
    """A second run beside the first one is refused on the way."""
    began, go = toy.insert_wait("walk")
    process = toy.start_call("run", "walk", stdout=subprocess.PIPE)
    wait_for(began.exists)
    at_it = f"another run of walk is active in {toy.path}, process {process.pid}"
    assert at_it in toy.call("run", "walk", ok=False)
    data = toy.path / "data/numbers.csv"
    kept = data.read_text(encoding="utf-8")
    data.unlink()
    data.write_text(kept + "0.5\n", encoding="utf-8")
    go.touch()
    told, _ = process.communicate(timeout=120)
    toy.run("dvc", "checkout", "--force", "data/numbers.csv")
    assert process.returncode == 1
    assert "changed while walk ran: data/numbers.csv" in told
    assert newest_run(toy).info.status == "FAILED"


@pytest.mark.nightly
@pytest.mark.slow
def test_a_run_that_is_terminated_ends_as_an_interrupted_one(toy, report):
    began, _ = toy.insert_wait("walk")
    process = toy.start_call("run", "walk")
    wait_for(began.exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=180) == 130


@pytest.mark.slow
def test_a_second_dvc_repro_is_told_what_the_first_one_does(toy, report):
    repro = ("dvc", "repro", "--force", "--single-item", "walk")
    began, go = toy.insert_wait("walk")
    process = toy.start(*repro)
    wait_for(began.exists)
    told = toy.run(*repro, ok=False)
    go.touch()
    assert "is busy, it is being blocked by" in told
    assert str(process.pid) in told
    assert process.wait(timeout=180) == 0
    toy.run("git", "checkout", "--", "notebooks", "dvc.lock")
    toy.run("dvc", "checkout", "--force")


@pytest.mark.slow
def test_where_mlflow_fails_at_the_very_end_no_training_is_repeated(toy, report):
    def execute(statement):
        with closing(sqlite3.connect(toy.path / "mlflow.db")) as database, database:
            database.execute(statement)

    # What a training keeps of itself: the second attempt must find it.
    toy.insert(
        "walk",
        "kept = run.backup / 'seed_0'\n"
        "trained = kept.exists()\n"
        "kept.touch()\n"
        "run.root.joinpath('reports/logs/trained').write_text(str(trained))",
    )
    execute(
        "CREATE TRIGGER refuse BEFORE UPDATE OF status ON runs WHEN NEW.status = 'FINISHED' "
        "BEGIN SELECT RAISE(ABORT, 'no room for it'); END"
    )
    told = toy.call("run", "walk", ok=False)
    execute("DROP TRIGGER refuse")
    assert "no room for it" in told
    failed = toy.path / "reports/failed/walk"
    assert (failed / "results/report.html").is_file()
    assert (failed / ".backup/seed_0").is_file()
    trained = toy.path / "reports/logs/trained"
    assert trained.read_text(encoding="utf-8") == "False"
    toy.call("run", "walk")
    assert trained.read_text(encoding="utf-8") == "True"
    assert not failed.exists()
    toy.run("dvc", "checkout", "--force")
