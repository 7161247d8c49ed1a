"""Stages on workers that have nothing of the clone but DVC's cache, or its remote."""

import itertools
import json
import math
import platform
import random
import re
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from importlib.metadata import version

import psutil
import pytest

from notebook_pipeline import mlflow_runs
from notebook_pipeline.repro.stage_process import ONE_STAGE
from tests.notebook_pipeline.light import left_of, lines, locked, stage, start, workers, write
from tests.toy_clone import make_toy

pytestmark = pytest.mark.slow


@pytest.fixture
def given(repository):
    """A repository of which each stage depends on something: others are not sent anywhere."""

    def write_pipeline(**stages):
        clone = repository(
            **{name: told | {"deps": [*told["deps"], "given"]} for name, told in stages.items()}
        )
        (clone.path / "given").write_text("before", encoding="utf-8")
        return clone

    return write_pipeline


def stages_on(scheduler, name):
    """The processes of a stage that run on the workers of a scheduler."""
    return [one for one in stages_of(psutil.Process(scheduler.pid)) if name in one.cmdline()]


@pytest.fixture
def waiting(given):
    """A repository whose stage `slow` waits on its worker: what it then touches, and waits for."""

    def write_pipeline(*needs, **others):
        parent = given().path.parent
        began, go = parent / "slow.began", parent / "slow.go"
        command = f"touch {began}; until [ -e {go} ]; do sleep 0.1; done; echo slow > slow.txt"
        return given(**others, slow=stage(command, "slow", *needs)), began, go

    return write_pipeline


def test_the_toy_gives_the_bytes_of_one_after_the_other(toy, tmp_path):
    other = make_toy(tmp_path / "other")
    with workers(other) as (_, file):
        printed = other.call("repro", "--cluster", file)
    assert lines(printed, "walk")[-1].startswith("walk: done after")
    assert "created the run of walk from its outputs" in printed
    assert locked(other) == locked(toy)
    assert "up to date" in other.run("dvc", "repro", "--dry")
    assert "0 problems" in other.call("status")
    record = json.loads((other.path / "reports/walk/run.json").read_text(encoding="utf-8"))
    assert record["commit"] == other.run("git", "rev-parse", "HEAD").strip()
    assert other.call("repro", "--cluster", file) == "everything is up to date\n"


def test_files_go_through_a_remote_also_those_that_dvc_does_not_push(given, tmp_path):
    one = stage("cp given one.json; mkdir folder; echo a > folder/a; echo b > big.txt", "one")
    one |= {"outs": ["folder", "big.txt"], "metrics": [{"one.json": {"cache": False}}]}
    two = stage("cat one.json folder/a big.txt > two.txt", "two")
    two["deps"] = ["one.json", "folder", "big.txt"]
    clone = given(one=one, two=two)
    clone.run("dvc", "remote", "add", "--default", "here", str(tmp_path / "remote"))
    (clone.path / "given").write_text("1", encoding="utf-8")
    (clone.path / ".gitignore").write_text("/one.*\n", encoding="utf-8")
    with workers(clone, remote=True) as (_, file):
        printed = clone.call("repro", "--cluster", file)
        assert lines(printed, "two")[-1].startswith("two: done after")
        assert (clone.path / "two.txt").read_text(encoding="utf-8") == "1a\nb\n"
        assert "up to date" in clone.run("dvc", "status")


def test_what_dvc_cannot_hand_on_runs_here(repository):
    clone = repository(
        alone=stage("pwd > alone.txt", "alone"),
        kept=stage("pwd > kept.txt", "kept", "alone") | {"outs": [{"kept.txt": {"cache": False}}]},
        sent=stage("pwd > sent.txt", "sent", "kept"),
    )
    with workers(clone) as (_, file):
        clone.call("repro", "--cluster", file)
    where = [
        (clone.path / f"{name}.txt").read_text(encoding="utf-8")
        for name in ("alone", "kept", "sent")
    ]
    assert where[:2] == [f"{clone.path}\n"] * 2
    assert where[2] != where[0]
    assert "up to date" in clone.run("dvc", "status")


def test_a_remote_that_cannot_be_reached_is_told(given, tmp_path):
    clone = given(one=write("one"), two=write("two", "one"))
    (tmp_path / "remote").write_text("no folder", encoding="utf-8")
    clone.run("dvc", "remote", "add", "--default", "here", str(tmp_path / "remote"))
    with workers(clone, remote=True) as (_, file):
        printed = clone.call("repro", "--cluster", file, ok=False)
    assert "one failed. Its log ends with:" in printed
    assert f"one has run, but {platform.node()} can't push what it made" in printed
    assert "Not a directory" in printed
    assert "two: skipped: needs one" in printed
    assert not (clone.path / "dvc.lock").exists()


def test_a_worker_that_is_killed_fails_its_stage_and_no_other(waiting):
    clone, began, go = waiting(other=write("other"))
    with workers(clone) as (scheduler, file):
        process = start(clone, "--cluster", file, jobs=0, until=[began])
        [dvc] = stages_on(scheduler, "slow")
        dvc.parent().kill()
        printed = process.communicate(timeout=200)[0]
        assert process.returncode == 1
        assert "Its worker was killed, possibly out of memory." in printed
        assert lines(printed, "other")[-1].startswith("other: done after")
        assert left_of([dvc]) == []
        assert list(locked(clone)) == ["other"]
        go.touch()
        printed = clone.call("repro", "--cluster", file)
    assert lines(printed, "slow")[-1].startswith("slow: done after")


def test_a_driver_that_is_killed_takes_its_stages_with_it(waiting):
    clone, began, go = waiting()
    with workers(clone) as (scheduler, file):
        process = start(clone, "--cluster", file, jobs=0, until=[began])
        stages = stages_on(scheduler, "slow")
        process.kill()
        process.communicate()
        assert len(stages) == 1
        assert left_of(stages) == []
        go.touch()
        printed = clone.call("repro", "--cluster", file)
    assert lines(printed, "slow")[-1].startswith("slow: done after")


def test_ctrl_c_stops_what_runs_on_workers(waiting):
    clone, began, _ = waiting()
    with workers(clone) as (scheduler, file):
        process = start(clone, "--cluster", file, jobs=0, until=[began])
        stages = stages_on(scheduler, "slow")
        process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=200)[0]
        assert process.returncode == 130
        assert "slow: stopped after" in printed
        assert left_of(stages) == []


def test_a_scheduler_that_is_lost_is_told_and_what_has_ended_stays(waiting):
    clone, began, go = waiting("first", first=write("first"))
    with workers(clone) as (scheduler, file):
        process = start(clone, "--cluster", file, jobs=0, until=[began])
        stages = stages_on(scheduler, "slow")
        scheduler.kill()
        printed = process.communicate(timeout=200)[0]
    assert process.returncode == 1
    assert "notebook_pipeline: the scheduler is lost, and with it the stages that ran" in printed
    assert "Traceback" not in printed
    assert left_of(stages) == []
    assert list(locked(clone)) == ["first"]
    go.touch()
    printed = clone.call("repro")
    assert lines(printed, "first") == ["first: unchanged"]
    assert lines(printed, "slow")[-1].startswith("slow: done after")


def test_a_scheduler_that_is_not_there_is_told_before_anything_starts(given, tmp_path):
    clone = given(one=write("one"))
    with workers(clone) as (_, file):
        pass
    printed = clone.call("repro", "--cluster", file, ok=False)
    assert re.search(r"the scheduler at tcp://127.0.0.1:\d+ can't be reached", printed)
    assert "one: running" not in printed
    assert "Traceback" not in printed


def test_a_worker_with_another_environment_starts_nothing(given):
    clone = given(one=write("one"))
    (clone.path / "requirements.lock").write_text("numpy==1.0\npandas\n", encoding="utf-8")
    with workers(clone) as (_, file):
        printed = clone.call("repro", "--cluster", file, ok=False)
    expected = rf"The worker on {re.escape(platform.node())} has another environment than "
    expected += rf"requirements.lock: numpy {version('numpy')} instead of 1.0. Nothing was started"
    assert re.search(expected, printed)
    assert not (clone.path / "one.txt").exists()


def test_a_stage_whose_worker_reaches_its_time_begins_anew_once_and_says_so(given):
    clone = given()
    first, second = (clone.path.parent / name for name in ("first", "second"))
    once = f"if mkdir {first}; then sleep 600; fi; echo slow > slow.txt"
    always = f"if mkdir {second}; then true; fi; sleep 600; touch never.txt"
    given(slow=stage(once, "slow"), never=stage(always, "never"))
    with workers(clone, "lifetime=12 s", "lifetime_restart=yes") as (scheduler, file):
        process = start(clone, "--cluster", file, jobs=0, until=[first, second])
        printed = process.communicate(timeout=300)[0]
        assert left_of(stages_on(scheduler, "never")) == []
    anew = "running again: its worker was lost or came to the end of its time"
    assert f"slow: {anew}" in printed
    assert lines(printed, "slow")[-1].startswith("slow: done after")
    assert f"never: {anew}" in printed
    assert "It has lost its worker 2 times: it takes longer than the lifetime" in printed
    assert list(locked(clone)) == ["slow"]


def test_a_file_that_changes_while_a_stage_runs_keeps_its_results_out(waiting):
    clone, began, go = waiting()
    with workers(clone) as (_, file):
        process = start(clone, "--cluster", file, jobs=0, until=[began])
        (clone.path / "given").write_text("after", encoding="utf-8")
        go.touch()
        printed = process.communicate(timeout=200)[0]
    assert process.returncode == 1
    assert "the results of slow are those of other files or parameters than there are" in printed
    assert not (clone.path / "dvc.lock").exists()
    (clone.path / "given").write_text("before", encoding="utf-8")
    printed = clone.call("repro")  # the results are in the cache
    assert lines(printed, "slow")[-1].startswith("slow: restored after")


def test_a_full_disk_is_told_and_nothing_of_it_is_recorded(given, tmp_path):
    clone = given(
        small=write("small"), big=stage("head -c 3000000 /dev/zero > big.txt", "big", "small")
    )
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        clone.run("dvc", "config", "cache.dir", str(disk))
        with workers(clone) as (_, file):
            printed = clone.call("repro", "--cluster", file, ok=False)
        assert "No space left on device" in printed
        assert list(locked(clone)) == ["small"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_another_driver_in_the_same_clone_is_refused(waiting):
    clone, began, go = waiting()
    with workers(clone) as (_, file):
        process = start(clone, "--cluster", file, jobs=0, until=[began])
        printed = clone.call("repro", "--cluster", file, ok=False)
        assert f"another run of repro is active in {clone.path}, process {process.pid}" in printed
        go.touch()
        process.communicate(timeout=200)
    assert process.returncode == 0


def test_a_notebook_that_fails_on_a_worker_leaves_its_attempt_here(own_toy):
    own_toy.insert("walk", "1 / 0")
    with workers(own_toy) as (_, file):
        printed = own_toy.call("repro", "--cluster", file, ok=False)
    assert "ZeroDivisionError" in printed
    attempt = own_toy.path / "reports/failed/walk"
    assert (attempt / "01_walk.ipynb").is_file()
    assert (attempt / "environment.json").is_file()
    assert "trial@double: skipped: needs walk" in printed


@pytest.mark.nightly
@pytest.mark.parametrize("where", ["here", "there"])
def test_killed_at_15_random_moments_it_ends_in_the_same_bytes(toy, tmp_path, where):
    """Kill driver, scheduler, a worker or a stage; what had ended stays, the next call goes on."""
    toys = (make_toy(tmp_path / str(number)) for number in itertools.count())
    other, whole, killed, moments = next(toys), math.inf, Counter(), random.Random(8)
    while killed.total() < 15:
        with workers(other) as (scheduler, file):
            process = start(other, *(["--cluster", file] if where == "there" else []), until=[])
            began, printed = time.monotonic(), ""
            with suppress(subprocess.TimeoutExpired):
                printed = process.communicate(timeout=min(600, moments.random() * whole))[0]
            if process.returncode is None:
                whom, which = moments.choice(list(family_of(process, scheduler, where)))
                which.kill()
                killed[whom] += 1
                process.communicate(timeout=300)
                check_lock(other, locked(toy))
                continue
        assert process.returncode == 0, f"{dict(killed)}: {printed}"
        assert locked(other) == locked(toy)
        assert "0 problems" in other.call("status")
        statuses = [run.info.status for run in mlflow_runs.search_runs(other.client())]
        assert "RUNNING" not in statuses
        if whole == math.inf:  # the first run, which nothing has killed
            whole = time.monotonic() - began
        other = next(toys)
    print(f"killed {where}: {dict(killed)}")
    other.call("repro")
    assert locked(other) == locked(toy)


def family_of(process, scheduler, where):
    """The processes of a run, each with what it is called: one of each kind that there is."""
    whole = psutil.Process(scheduler.pid if where == "there" else process.pid)
    yield "driver", process
    if where == "there":
        yield "scheduler", scheduler
    for name, some in (("worker", workers_of(whole)), ("stage", stages_of(whole))):
        yield from ((name, one) for one in some[:1])


def stages_of(whole):
    return [one for one in whole.children(recursive=True) if ONE_STAGE in one.cmdline()]


def workers_of(whole):
    found = whole.children(recursive=True)
    return [one for one in found if "spawn_main" in " ".join(one.cmdline())]


def check_lock(other, expected):
    """Whatever dvc.lock tells by now is what one stage after the other gives."""
    if (other.path / "dvc.lock").exists():
        assert locked(other).items() <= expected.items()
