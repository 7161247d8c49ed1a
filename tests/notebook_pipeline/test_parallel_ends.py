"""What ends stages that run side by side, and what keeps them apart from others."""

import json
import os
import re
import signal
import subprocess
import sys

import psutil
import pytest

from notebook_pipeline.repro.stage_process import ONE_STAGE
from tests.notebook_pipeline.light import (
    SLOW,
    left_of,
    let_all_run_beside,
    lines,
    stage,
    start,
    write,
)
from tests.toy_clone import wait_for

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


DEAF = """
import pathlib, signal, time
signal.signal(signal.SIGINT, lambda *_: pathlib.Path("heard").touch())
pathlib.Path("began").touch()
while True:
    time.sleep(600)
"""
"""A command that hears an interruption and takes no notice of it."""


HANGUP = pytest.param(
    signal.SIGHUP,
    marks=pytest.mark.skipif(
        signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, reason="nohup has it ignored"
    ),
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, HANGUP])
def test_a_signal_stops_all_and_leaves_no_process(repository, number):
    clone = repository(
        one=stage(f"touch one.began; {WAITS}", "one"), two=stage("python kernel.py", "two")
    )
    (clone.path / "kernel.py").write_text(KERNEL, encoding="utf-8")
    process = start(clone, until=["one.began", "two.began"])
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 4
    process.send_signal(number)
    printed = process.communicate(timeout=200)[0]
    assert process.returncode == 130
    assert "one: stopped after" in printed
    assert printed.endswith("python -m notebook_pipeline: interrupted\n")
    assert left_of(family) == []


def test_a_second_signal_kills_what_takes_no_notice_of_the_first(repository):
    clone = repository(deaf=stage("exec python deaf.py", "deaf"))
    (clone.path / "deaf.py").write_text(DEAF, encoding="utf-8")
    process = start(clone, until=["began"])
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    wait_for((clone.path / "heard").exists)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=200)
    assert process.returncode == 130
    assert left_of(family) == []


SIGNALS_IN_HANDLERS = """
import os, signal, sys
from notebook_pipeline.repro.parallel import _stop_signals

sent = 0

def again(*_):
    global sent
    if sent < 20:
        sent += 1
        os.kill(os.getpid(), signal.SIGTERM)

with _stop_signals() as stop:
    sys.setprofile(again)  # at each call within a handler comes another signal
    os.kill(os.getpid(), signal.SIGTERM)
    print(stop.wait())
    sys.setprofile(None)
"""


def test_a_signal_may_interrupt_the_handler_of_another():
    """As `kill -- -GROUP` sends one to all, and those that end send their own."""
    command = [sys.executable, "-c", SIGNALS_IN_HANDLERS]
    assert subprocess.check_output(command, timeout=60, encoding="utf-8") == "True\n"


def test_the_terminal_s_ctrl_c_reaches_the_driver_alone(repository):
    clone = repository(deaf=stage("exec python deaf.py", "deaf"), slow=SLOW)
    (clone.path / "deaf.py").write_text(DEAF.replace("began", "deaf.began"), encoding="utf-8")
    process = start(clone, until=["began", "deaf.began"], start_new_session=True)
    family = psutil.Process(process.pid).children(recursive=True)
    workers = [one for one in family if "spawn_main" in " ".join(one.cmdline())]
    assert len(workers) == 2
    os.killpg(process.pid, signal.SIGINT)
    wait_for((clone.path / "heard").exists)
    assert all(worker.is_running() for worker in workers)
    os.killpg(process.pid, signal.SIGINT)
    printed = process.communicate(timeout=200)[0]
    assert process.returncode == 130
    assert "Traceback" not in printed
    assert left_of(family) == []


def test_a_worker_that_is_killed_fails_its_stage_and_no_other(repository):
    clone = repository(slow=SLOW, after=write("after", "slow"), other=write("other"))
    process = start(clone, until=["began"], jobs=1)
    dvc, command = family_of(process, "slow")
    dvc.parent().kill()
    printed = process.communicate(timeout=200)[0]
    assert process.returncode == 1
    assert re.search(
        r"^slow: failed after \d+ s, see reports/logs/slow.log$", printed, re.MULTILINE
    )
    assert "Its worker was killed, possibly out of memory." in printed
    assert "after: skipped: needs slow" in printed
    assert lines(printed, "other")[-1].startswith("other: done after")
    assert left_of([dvc, command]) == []
    (clone.path / "go").touch()
    assert lines(clone.call("repro"), "after")[-1].startswith("after: done after")


def family_of(process, stage):
    """DVC's process of a stage, and that of its command."""
    found = psutil.Process(process.pid).children(recursive=True)
    [dvc] = [one for one in found if one.cmdline()[-2:] == [ONE_STAGE, stage]]
    return dvc, *dvc.children()


def test_after_a_kill_the_next_one_is_not_blocked(repository):
    clone = repository(slow=SLOW)
    process = start(clone, until=["began"])
    family = psutil.Process(process.pid).children(recursive=True)
    assert any("one_stage" in " ".join(one.cmdline()) for one in family)
    process.kill()
    process.communicate()
    assert psutil.wait_procs(family, timeout=200)[1] == []  # workers and stages end with it
    (clone.path / "began").unlink()
    (clone.path / "go").touch()
    assert lines(clone.call("repro"), "slow")[1].startswith("slow: done after")


def test_the_next_one_waits_for_the_stages_of_one_that_was_killed(repository):
    clone = repository(slow=SLOW)
    process = start(clone, until=["began"])
    dvc, *_ = family_of(process, "slow")
    dvc.suspend()  # it can't notice that its driver is gone
    process.kill()
    process.communicate()
    (clone.path / "go").touch()
    after = start(clone, until=[])
    with pytest.raises(subprocess.TimeoutExpired):
        after.communicate(timeout=8)
    dvc.resume()
    printed = after.communicate(timeout=200)[0]
    assert after.returncode == 0, printed
    assert lines(printed, "slow")[1].startswith("slow: done after")


def test_a_stage_that_is_dead_but_not_buried_is_waited_for(repository):
    clone = repository(quick={"cmd": "touch made", "outs": ["made"]})
    dead = subprocess.Popen(["true"])  # until it is asked for its status
    info = {"pid": dead.pid, "cmd": f"/some/{ONE_STAGE.replace('.', '/')}.py quick"}
    kept = json.dumps({"write": {str(clone.path / "made"): info}})
    (clone.path / ".dvc/tmp/rwlock").write_text(kept, encoding="utf-8")
    assert "is busy" in clone.run("dvc", "repro", ok=False)
    after = start(clone, until=[])
    with pytest.raises(subprocess.TimeoutExpired):
        after.communicate(timeout=8)
    dead.wait()
    printed = after.communicate(timeout=200)[0]
    assert after.returncode == 0, printed


@pytest.mark.parametrize("half", ["", '{"write": {"'])
def test_what_dvc_had_half_written_when_it_was_killed_blocks_nothing(repository, half):
    clone = repository(quick={"cmd": "touch made", "outs": ["made"]})
    (clone.path / ".dvc/tmp/rwlock").write_text(half, encoding="utf-8")
    assert "JSON structure is corrupted" in clone.run("dvc", "repro", ok=False)
    assert lines(clone.call("repro"), "quick")[1].startswith("quick: done after")


def test_two_at_once_in_one_clone(repository):
    clone = repository(slow=SLOW)
    process = start(clone, until=["began"])
    printed = clone.call("repro", ok=False)
    assert printed == (
        f"python -m notebook_pipeline: another run of repro is active in {clone.path}, "
        f"process {process.pid}: wait until it ends, or use another clone\n"
    )
    by_hand = clone.run("dvc", "repro", ok=False)
    assert "is busy, it is being blocked by" in by_hand
    (clone.path / "go").touch()
    process.communicate(timeout=200)
    assert process.returncode == 0
    assert clone.call("repro") == "everything is up to date\n"


def test_beside_a_dvc_repro_by_hand(repository):
    clone = repository(slow=SLOW)
    by_hand = clone.start("dvc", "repro")
    wait_for((clone.path / "began").exists)
    printed = clone.call("repro", ok=False)
    (clone.path / "go").touch()
    assert by_hand.wait(300) == 0
    assert re.search(rf"slow\.txt' is busy.*\n  \(PID {by_hand.pid}\): .*dvc repro", printed), (
        printed
    )
    assert "up to date" in clone.call("repro")


def test_ctrl_c_stops_kernels_too(own_toy):
    let_all_run_beside(own_toy)
    began = [own_toy.insert_wait(name)[0] for name in ("walk", "timing")]
    process = start(own_toy, until=began)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len([one for one in family if "ipykernel_launcher" in one.cmdline()]) == 2
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=200)[0]
    assert process.returncode == 130, printed
    assert left_of(family) == []
