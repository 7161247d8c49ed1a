"""Faults of the environment, one by one: what is said, and that nothing is lost."""

import http.server
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, suppress

import pytest

from lstm_states import tracking
from lstm_states.errors import ExperimentError, StoreError
from lstm_states.pipeline import preflight
from lstm_states.tracking import store

STAGE = "experiment@variable_length"
FOLDER = "reports/variable_length"


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The store of a repository, with its tables."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.connect(tmp_path)
    return tmp_path / "mlflow.db"


def test_a_locked_store_is_told_after_some_patience(file, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.2)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"mlflow.db: database is locked; another process has"):
            tracking.connect(file.parent)
    tracking.connect(file.parent)


def test_a_store_that_is_held_for_a_moment_is_waited_for(file):
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        release = threading.Timer(0.5, other.execute, ["ROLLBACK"])
        release.start()
        tracking.connect(file.parent)
        release.join()


def test_a_damaged_store_is_told_with_the_way_out(file):
    file.write_bytes(b"\0" * 5000)
    kept = file.read_bytes()
    with pytest.raises(StoreError, match=r"not a database; move .*`lstm-states record`"):
        tracking.connect(file.parent)
    assert file.read_bytes() == kept


def test_a_store_in_a_folder_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none/mlflow.db")
    with pytest.raises(StoreError, match=r"none/mlflow.db: unable to open database file"):
        tracking.connect(tmp_path)


def test_a_server_that_is_not_there_is_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"127.0.0.1:9, which can't be used: .*refused"):
        tracking.connect(tmp_path)
    assert time.monotonic() - began < 5


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
            tracking.connect(tmp_path)
        silence.set()
        server.shutdown()


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_server_that_refuses_is_told_at_once_and_without_the_password(
    tmp_path, monkeypatch, status
):
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{address}")
        began = time.monotonic()
        with pytest.raises(StoreError, match=f"http://{address}, which can't be used: ") as error:
            tracking.connect(tmp_path)
        server.shutdown()
    assert time.monotonic() - began < 5
    assert str(status) in str(error.value)
    assert "secret" not in str(error.value)


def test_a_missing_kernel_is_told_with_what_installs_it(monkeypatch):
    preflight.check_kernel()
    monkeypatch.setattr(preflight, "KERNEL", "no-such-kernel")
    with pytest.raises(ExperimentError, match=r"no kernel 'no-such-kernel'; .*`make env`"):
        preflight.check_kernel()


@pytest.fixture
def report(clone):
    """The bytes of the report before; it must be there after, too."""
    path = clone.path / FOLDER / "report.html"
    kept = path.read_bytes()
    yield kept
    assert path.read_bytes() == kept


@pytest.fixture
def mounted(clone):
    """Run a command of the clone in a namespace where something is mounted, if that may be done."""
    try:
        subprocess.run(["unshare", "-rm", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mount namespaces here")

    def run(mount: str, command: str) -> str:
        return clone.run("unshare", "-rm", "sh", "-c", f"{mount} && {command}", ok=False)

    return run


def newest_run(clone):
    return tracking.search_runs(clone.client())[0]


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_report_stays(clone, mounted, report):
    (clone.path / "reports/failed").mkdir(exist_ok=True)
    told = mounted(
        "mount -t tmpfs -o size=300k none reports/failed", "lstm-states run variable_length"
    )
    assert "No space left on device" in told
    assert "Traceback" not in told[told.index("lstm-states:") :]
    assert newest_run(clone).info.status == "FAILED"


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_told_before_a_kernel_starts(clone, mounted, report):
    before = newest_run(clone).info.run_id
    told = mounted(
        "mount --bind .dvc/cache .dvc/cache && mount -o remount,ro,bind .dvc/cache",
        "lstm-states run variable_length",
    )
    assert "DVC's cache" in told
    assert "can't be written: make it writable" in told
    assert newest_run(clone).info.run_id == before


@pytest.mark.slow
def test_data_that_changes_under_way_is_told_and_makes_no_report(clone, report):
    data = clone.path / "data/processed/japanese_vowels.zarr/zarr.json"
    process = subprocess.Popen(
        ["lstm-states", "run", "variable_length"], cwd=clone.path, env=clone.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    partial = clone.path / "reports/failed/variable_length/results"
    while not partial.is_dir():
        assert process.poll() is None
        time.sleep(0.1)
    kept = data.read_text()
    data.unlink()
    data.write_text(kept + "\n")
    told, _ = process.communicate(timeout=120)
    clone.run("dvc", "checkout", "--force", "data/processed/japanese_vowels.zarr")
    assert process.returncode == 1
    assert f"changed while {STAGE} ran: data/processed/japanese_vowels.zarr" in told
    assert newest_run(clone).info.status == "FAILED"


@pytest.mark.slow
def test_two_at_once_in_one_clone_do_not_meet(clone, report):
    attempt = clone.path / "reports/failed/variable_length/environment.json"
    shutil.rmtree(attempt.parent, ignore_errors=True)
    process = subprocess.Popen(
        ["lstm-states", "run", "variable_length"], cwd=clone.path, env=clone.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not attempt.is_file():
        assert process.poll() is None
        time.sleep(0.1)
    told = clone.run("lstm-states", "run", "variable_length", ok=False)
    assert (
        f"another run of variable_length is under way in {clone.path}, process {process.pid}"
        in told
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130
    shutil.rmtree(attempt.parent)


@pytest.mark.slow
def test_a_second_dvc_repro_is_told_what_the_first_one_does(clone, report):
    process = subprocess.Popen(
        ["dvc", "repro", "--force", "--single-item", STAGE], cwd=clone.path,
        env=clone.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    attempt = clone.path / "reports/failed/variable_length/environment.json"
    while not attempt.is_file():
        assert process.poll() is None
        time.sleep(0.1)
    told = clone.run("dvc", "repro", "--force", "--single-item", STAGE, ok=False)
    assert "is busy, it is being blocked by" in told
    assert str(process.pid) in told
    assert process.wait(timeout=180) == 0


@pytest.mark.slow
def test_where_mlflow_fails_at_the_very_end_no_training_is_repeated(clone, report):
    def execute(statement):
        with closing(sqlite3.connect(clone.path / "mlflow.db")) as database, database:
            database.execute(statement)

    execute(
        "CREATE TRIGGER refuse BEFORE UPDATE OF status ON runs WHEN NEW.status = 'FINISHED' "
        "BEGIN SELECT RAISE(ABORT, 'no room for it'); END"
    )
    told = clone.run("lstm-states", "run", "variable_length", ok=False)
    execute("DROP TRIGGER refuse")
    assert "no room for it" in told
    failed = clone.path / "reports/failed/variable_length"
    assert (failed / "results/report.html").read_bytes() == report
    kept = {path: path.stat().st_mtime_ns for path in (failed / ".backup").iterdir()}
    assert len(kept) == 2
    process = subprocess.Popen(
        ["lstm-states", "run", "variable_length"], cwd=clone.path, env=clone.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None:
        for path in kept.keys() & set(failed.glob(".backup/*")):
            with suppress(FileNotFoundError):
                assert path.stat().st_mtime_ns == kept[path]
        time.sleep(0.1)
    assert process.returncode == 0
