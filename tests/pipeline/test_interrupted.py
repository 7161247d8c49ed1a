"""Whatever ends a run, at any moment: its state is true, and a repro ends in the same bytes."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from lstm_states import tracking
from tests.clone import Clone, make_clone

pytestmark = pytest.mark.slow

STAGE = "experiment@variable_length"
FOLDER = "reports/variable_length"
KILLS = int(os.environ.get("LSTM_STATES_KILLS", "4"))
"""`make nightly` kills 30 times."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone of its own, in which one stage has run: what fails here must not fail elsewhere."""
    clone = make_clone(tmp_path_factory.mktemp("interrupted") / "lstm-states")
    clone.run("dvc", "repro", STAGE)
    return clone


def outputs(clone: Clone) -> dict[str, bytes]:
    """All outputs of the stage, without the record of the run."""
    files = (path for path in sorted((clone.path / FOLDER).rglob("*")) if path.is_file())
    return {
        str(path.relative_to(clone.path)): path.read_bytes()
        for path in files
        if path.name not in ("run.json", ".gitignore")
    }


def start(clone: Clone, shell: str = "/bin/sh") -> subprocess.Popen:
    """Start the stage by force, as the leader of a session.

    DVC starts it through the shell. Many a `sh` stays between the two until the stage has ended.
    """
    return subprocess.Popen(
        ["dvc", "repro", "--force", "--single-item", STAGE],
        cwd=clone.path, env=clone.environment() | {"SHELL": shell}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def family(clone: Clone) -> dict[str, list[psutil.Process]]:
    """The processes at work in the clone: of DVC, of the runner, and kernels."""
    found = {"dvc": [], "runner": [], "kernel": []}
    for process in psutil.process_iter(["cwd", "cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if process.info["cwd"] == str(clone.path):
            for name, words in (
                ("dvc", "dvc repro"),
                ("runner", "lstm-states run"),
                ("kernel", "ipykernel"),
            ):
                if words in command:
                    found[name].append(process)
    return found


def wait_for(condition, seconds=90):
    for _ in range(seconds * 10):
        if condition():
            return
        time.sleep(0.1)
    raise TimeoutError("it didn't come")


def all_gone(clone: Clone) -> bool:
    return not any(family(clone).values())


def kill(clone: Clone, whom: str, number: int) -> None:
    """Send a signal to one of the processes, or to all of them."""
    processes = family(clone)
    for name in processes if whom == "all" else [whom]:
        for process in processes[name]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def statuses(clone: Clone) -> dict[str, str]:
    return {run.info.run_id: run.info.status for run in tracking.search_runs(clone.client())}


@pytest.mark.parametrize(
    ("whom", "number", "status"),
    [
        ("runner", signal.SIGINT, "KILLED"),
        ("runner", signal.SIGTERM, "KILLED"),
        ("runner", signal.SIGKILL, "RUNNING"),
        ("dvc", signal.SIGKILL, "KILLED"),
        ("kernel", signal.SIGKILL, "FAILED"),
        ("group", signal.SIGTERM, "KILLED"),  # as `timeout` and systemd do: not the kernel's
        ("all", signal.SIGKILL, "RUNNING"),
    ],
)
def test_a_run_that_ends_early_tells_how_or_the_next_command_does(clone, whom, number, status):
    before = statuses(clone)
    process = start(clone)
    wait_for(lambda: family(clone)["kernel"])
    time.sleep(1)
    if whom == "group":
        os.killpg(process.pid, number)
    else:
        kill(clone, whom, number)
    wait_for(lambda: all_gone(clone))
    assert process.wait(timeout=30) != 0
    [new] = statuses(clone).keys() - before.keys()
    assert statuses(clone)[new] == status  # what the process itself could still say
    clone.run("lstm-states", "record")
    assert statuses(clone)[new] == status.replace("RUNNING", "KILLED")
    assert (clone.path / "reports/failed/variable_length/environment.json").is_file()


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_stage_that_is_still_starting_ends_with_dvc(clone, shell):
    process = start(clone, shell)
    wait_for(lambda: family(clone)["runner"])
    time.sleep(1)  # it is importing
    kill(clone, "dvc", signal.SIGKILL)
    process.wait(timeout=30)
    wait_for(lambda: all_gone(clone), seconds=5)


def test_killed_at_random_moments_it_ends_in_the_same_bytes(clone):
    expected = outputs(clone)
    if not expected:
        clone.run("dvc", "repro", STAGE)
        expected = outputs(clone)
    began = time.monotonic()
    clone.run("dvc", "repro", "--force", "--single-item", STAGE)
    whole = time.monotonic() - began
    assert outputs(clone) == expected
    moments = random.Random(KILLS)
    for number in range(1, KILLS + 1):
        process = start(clone)
        time.sleep(moments.uniform(0, whole))
        there = [name for name, found in family(clone).items() if found]
        kill(clone, moments.choice([*there, "all"]), signal.SIGKILL)
        wait_for(lambda: all_gone(clone))
        process.wait(timeout=30)
        clone.run("lstm-states", "record")
        assert "RUNNING" not in statuses(clone).values()
        if number % 5 == 0 or number == KILLS:
            clone.run("dvc", "repro", STAGE)
            assert outputs(clone) == expected
    runs = tracking.finished_runs(clone.client())
    assert [len(found) for found in runs.values()] == [1]
