"""Stages side by side: real processes and DVC itself, on pipelines that take seconds."""

import re
import shutil
import signal
import subprocess
import time
from itertools import pairwise

import joblib
import psutil
import pytest
import yaml
from rich.console import Console

from lstm_states.pipeline import cli, parallel
from lstm_states.pipeline.parallel import default_jobs
from lstm_states.pipeline.progress import StageLines, last_lines, read_cells
from tests.clone import ROOT, Clone, make_clone

pytestmark = pytest.mark.slow

WAITS = "python -c 'import time; time.sleep(600)'"

KERNEL = """
import subprocess, sys
kernel = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
)
open("two.began", "w")
try:
    kernel.wait()
finally:
    kernel.kill()
"""
"""A command that has a process in a session of its own, which it ends, as papermill does."""


HANGUP = pytest.param(
    signal.SIGHUP,
    marks=pytest.mark.skipif(
        signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="nohup has it ignored"
    ),
)


def stage(command, name, *needs):
    return {"cmd": command, "deps": [f"{need}.txt" for need in needs], "outs": [f"{name}.txt"]}


def write(name, *needs, seconds=0.0):
    """A stage that keeps when it began and ended, and hands on what it was given."""
    given = " ".join(["/dev/null", *(f"{need}.txt" for need in needs)])
    timed = f"date +%s.%N > {name}.began; sleep {seconds}; date +%s.%N > {name}.ended"
    return stage(f"{timed}; (cat {given}; echo {name}) > {name}.txt", name, *needs)


@pytest.fixture
def repository(tmp_path):
    """A function that writes a dvc.yaml into a repository."""
    clone = Clone(tmp_path / "repository")
    clone.path.mkdir()
    for name in ("src", "params.yaml"):
        (clone.path / name).symlink_to(ROOT / name)
    clone.run("git", "init", "--quiet")
    clone.run("dvc", "init", "--quiet")

    def write_pipeline(**stages):
        (clone.path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
        return clone

    return write_pipeline


def diamond(**options):
    return {
        "top": write("top", seconds=2),
        "left": write("left", "top", **options),
        "right": write("right", "top", **options),
        "bottom": write("bottom", "left", "right"),
    }


def spans(clone, *names):
    return [
        tuple(float((clone.path / f"{name}.{end}").read_text()) for end in ("began", "ended"))
        for name in names
    ]


SLOW = stage("touch began; until [ -e go ]; do sleep 0.1; done; touch slow.txt", "slow")
"""A stage that ends once it may."""


def lines(printed, stage):
    return [line for line in printed.splitlines() if line.startswith(f"{stage}:")]


def test_what_is_independent_runs_at_once_and_what_depends_on_it_after_it(repository):
    clone = repository(**diamond(seconds=4))
    printed = clone.run("lstm-states", "repro", "--jobs", "2")
    top, left, right, bottom = spans(clone, "top", "left", "right", "bottom")
    assert top[1] < min(left[0], right[0])
    assert max(left[0], right[0]) < min(left[1], right[1])
    assert max(left[1], right[1]) < bottom[0]
    assert (clone.path / "bottom.txt").read_text() == "top\nleft\ntop\nright\nbottom\n"
    started, ended = lines(printed, "left")
    assert started == "left: running"
    assert re.fullmatch(r"left: done after \d+ s", ended)
    assert "\x1b" not in printed
    assert "echo left" in (clone.path / "reports/logs/left.log").read_text()
    assert "up to date" in clone.run("dvc", "status")
    assert clone.run("lstm-states", "repro") == "everything is up to date\n"


def test_one_job_is_one_stage_at_a_time_in_the_order_of_dvc(repository):
    clone = repository(**diamond(seconds=1))
    clone.run("lstm-states", "repro", "--jobs", "1")
    found = spans(clone, "top", "left", "right", "bottom")
    assert all(before[1] < after[0] for before, after in pairwise(found))


def test_nothing_runs_beside_a_stage_that_measures_time(repository):
    measures = write("${key}", seconds=2) | {"deps": ["notebooks/cost"], "params": ["cost"]}
    trials = {"foreach": {"cost": {}, "other": {}}, "do": measures}
    clone = repository(trial=trials, plain=write("plain", seconds=2))
    for folder in ("notebooks/cost", "reports/cost"):
        (clone.path / folder).mkdir(parents=True)
    clone.run("lstm-states", "repro", "--jobs", "3")
    cost, other, plain = spans(clone, "cost", "other", "plain")
    assert max(other[1], plain[1]) < cost[0]
    assert max(other[0], plain[0]) < min(other[1], plain[1])


def test_what_has_not_changed_is_left_alone(repository):
    clone = repository(**diamond())
    clone.run("lstm-states", "repro")
    pipeline = yaml.safe_load((clone.path / "dvc.yaml").read_text())["stages"]
    pipeline["left"]["cmd"] += "; true"  # runs anew, with the same output
    clone = repository(**pipeline)
    printed = clone.run("lstm-states", "repro", "--jobs", "2")
    assert lines(printed, "top") == ["top: unchanged"]
    assert len(lines(printed, "left")) == 2
    assert lines(printed, "right") == ["right: unchanged"]
    assert lines(printed, "bottom")[1].startswith("bottom: unchanged after")
    (clone.path / "left.txt").unlink()
    printed = clone.run("lstm-states", "repro")
    assert lines(printed, "left")[1].startswith("left: restored after")


def test_a_failure_lets_others_end_starts_nothing_more_and_shows_the_log(repository):
    clone = repository(
        broken=stage("cat said; sleep 1; exit 3", "broken"),
        beside=write("beside", seconds=5),
        after_broken=write("after_broken", "broken"),
        after_beside=write("after_beside", "beside"),
    )
    (clone.path / "said").write_text("Executing: | 1/9\rExecuting: | 2/9\nIt broke\n")
    printed = clone.run("lstm-states", "repro", "--jobs", "2", ok=False)
    assert "lstm-states: broken failed. Its log ends with:\n" in printed
    assert "It broke" in printed
    assert "exited with 3" in printed
    assert "Executing" not in printed
    assert "All of it is in reports/logs/broken.log" in printed
    assert lines(printed, "beside")[1].startswith("beside: done after")
    assert not lines(printed, "after_broken")
    assert not lines(printed, "after_beside")
    assert "beside" in clone.run("dvc", "status", "after_beside")


def start(clone, *, until, jobs=2):
    """`lstm-states repro` as a process, once the files have appeared in the clone."""
    process = subprocess.Popen(
        ["lstm-states", "repro", "--jobs", str(jobs)],
        cwd=clone.path, env=clone.environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not all((clone.path / name).exists() for name in until):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def left_of(family):
    return [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, HANGUP])
def test_a_signal_stops_all_and_leaves_no_process(repository, number):
    clone = repository(
        one=stage(f"touch one.began; {WAITS}", "one"), two=stage("python kernel.py", "two")
    )
    (clone.path / "kernel.py").write_text(KERNEL)
    process = start(clone, until=["one.began", "two.began"])
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 4
    process.send_signal(number)
    printed = process.communicate(timeout=30)[0]
    assert process.returncode == 130
    assert "one: stopped after" in printed
    assert printed.endswith("lstm-states: interrupted\n")
    assert left_of(family) == []


def test_a_second_signal_kills_what_takes_no_notice_of_the_first(repository):
    deaf = 'import signal, time; signal.signal(2, signal.SIG_IGN); open("began", "w")'
    clone = repository(deaf=stage(f"python -c '{deaf}; time.sleep(600)'", "deaf"))
    process = start(clone, until=["began"])
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert left_of(family) == []


def test_after_a_kill_the_next_one_is_not_blocked(repository):
    clone = repository(slow=SLOW)
    process = start(clone, until=["began"])
    stages = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    ended, running = psutil.wait_procs(stages, timeout=20)
    assert (len(ended), running) == (1, [])
    (clone.path / "go").touch()
    assert lines(clone.run("lstm-states", "repro"), "slow")[1].startswith("slow: done after")


def test_two_at_once_in_one_clone(repository):
    clone = repository(slow=SLOW)
    process = start(clone, until=["began"])
    printed = clone.run("lstm-states", "repro", ok=False)
    assert printed == (
        f"lstm-states: another run of repro is under way in {clone.path}, process {process.pid}: "
        "wait for its end, or use a clone of your own\n"
    )
    by_hand = clone.run("dvc", "repro", ok=False)
    assert "is busy, it is being blocked by" in by_hand
    (clone.path / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert clone.run("lstm-states", "repro") == "everything is up to date\n"


def test_beside_a_dvc_repro_by_hand(repository):
    clone = repository(slow=SLOW)
    by_hand = subprocess.Popen(
        ["dvc", "repro"], cwd=clone.path, env=clone.environment(), stdout=subprocess.DEVNULL
    )
    while not (clone.path / "began").exists():
        time.sleep(0.05)
    printed = clone.run("lstm-states", "repro", ok=False)
    (clone.path / "go").touch()
    assert by_hand.wait(60) == 0
    assert re.search(rf"slow\.txt' is busy.*\n  \(PID {by_hand.pid}\): .*dvc repro", printed), (
        printed
    )
    assert "up to date" in clone.run("lstm-states", "repro")


def test_what_dvc_refuses_is_told(repository):
    clone = repository(one=stage("true", "same"), other=stage("true", "same"))
    printed = clone.run("lstm-states", "repro", ok=False)
    assert printed.startswith("lstm-states: ")
    assert "same.txt" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("jobs", ["0", "-1", "1.5", "many"])
def test_jobs_is_a_whole_number_of_at_least_1(jobs, capsys):
    with pytest.raises(SystemExit):
        cli.main(["repro", f"--jobs={jobs}"])
    printed = capsys.readouterr().err
    assert f"argument --jobs: '{jobs}' is not a whole number of at least 1" in printed


@pytest.mark.parametrize(("cores", "gigabytes", "jobs"), [(16, 99, 8), (16, 10, 3), (1, 1, 1)])
def test_the_default_is_what_cores_and_memory_allow(monkeypatch, tmp_path, cores, gigabytes, jobs):
    memory = psutil.virtual_memory()._replace(available=gigabytes * 2**30)
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(parallel, "CONTAINER_MEMORY", tmp_path / "memory.max")
    assert default_jobs() == jobs
    (tmp_path / "memory.max").write_text("max\n")
    assert default_jobs() == jobs
    (tmp_path / "memory.max").write_text(f"{7 * 2**30}\n")
    assert default_jobs() == min(jobs, 2)


def test_in_a_terminal_a_line_changes_in_its_place():
    console = Console(force_terminal=True, width=60, legacy_windows=False, color_system=None)
    with console.capture() as captured, StageLines(["one", "two"], console) as shown:
        shown.start("one")
        shown.advance("one", "cell 3/9")
        shown._progress.refresh()
        shown.end("one", "done")
    moving, final = captured.get().split("cell 3/9")
    assert re.search(r"one running *0:00:00 *$", moving)
    assert re.search(r"one done +0:00:00 *\ntwo waiting -:--:-- *\n", final)


def test_a_log_says_how_far_papermill_is(tmp_path):
    log = tmp_path / "stage.log"
    log.write_text("Running\n")
    assert read_cells(log) == ""
    log.write_text("x" * 900 + "\rExecuting:  40%|████▌ | 9/20 [00:05<00:06,  1.5cell/s]")
    assert read_cells(log) == "cell 9/20"
    log.write_text("first\n\nExecuting: 1/2\rExecuting: 2/2\nsecond\nthird\n")
    assert last_lines(log, 2) == "second\nthird"
    assert last_lines(log) == "first\nsecond\nthird"


def test_ctrl_c_stops_kernels_too(clone, tmp_path):
    shutil.copytree(clone.path, tmp_path / "copy", symlinks=True)
    copy = Clone(tmp_path / "copy")
    copy.set_parameters({name: {"epochs": 500} for name in ("stacked", "variable_length")})
    process = start(copy, until=[])
    kernels = []
    deadline = time.monotonic() + 120
    while len(kernels) < 2 and time.monotonic() < deadline:
        family = psutil.Process(process.pid).children(recursive=True)
        kernels = [one for one in family if "ipykernel_launcher" in one.cmdline()]
        time.sleep(0.2)
    assert len(kernels) == 2
    time.sleep(10)  # they import TensorFlow
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=50)[0]
    assert process.returncode == 130, printed
    assert left_of(family) == []


def test_three_jobs_give_the_bytes_of_one(clone, tmp_path):
    """The configurations, the claims on how states flow and all they need, from nothing."""
    other = make_clone(tmp_path / "parallel")
    path = other.path / "dvc.yaml"
    pipeline = yaml.safe_load(path.read_text())
    for name in ("claims", "compare"):
        del pipeline["stages"][name]
    trials = pipeline["stages"]["trial"]["foreach"]
    pipeline["stages"]["trial"]["foreach"] = {"how_states_flow": trials["how_states_flow"]}
    path.write_text(yaml.safe_dump(pipeline, sort_keys=False))
    other.run("lstm-states", "repro", "--jobs", "3")
    serial, parallel = (
        yaml.safe_load((one.path / "dvc.lock").read_text())["stages"] for one in (clone, other)
    )
    assert len(parallel) == 6
    assert parallel == {name: serial[name] for name in parallel}
    assert "up to date" in other.run("dvc", "repro", "--dry")
    assert other.run("git", "status", "--porcelain", "data", "reports").count(".gitignore") == 0
