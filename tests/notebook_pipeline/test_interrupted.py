"""Whatever ends a run, at any moment: its state is true, and a repro ends in the same bytes."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import psutil
import pytest

from notebook_pipeline import mlflow_runs
from tests.toy_clone import Toy, wait_for

pytestmark = pytest.mark.slow

FOLDER = "reports/walk"
ATTEMPT = "reports/failed/walk"
MOMENTS = ("environment.json", "results/evidence.json", "results/report.ipynb")
"""Files of an attempt, in the order in which they come: at its start, under way, at its end."""


def outputs(toy: Toy) -> dict[str, bytes]:
    """All outputs of the stage, without the record of the run."""
    files = (path for path in sorted((toy.path / FOLDER).rglob("*")) if path.is_file())
    return {
        str(path.relative_to(toy.path)): path.read_bytes()
        for path in files
        if path.name not in ("run.json", ".gitignore")
    }


def start(toy: Toy, shell: str = "/bin/sh") -> subprocess.Popen:
    """Start the stage by force, as the leader of a session.

    DVC starts it through the shell. Many a `sh` stays between the two until the stage has ended.
    """
    return toy.start(
        "dvc", "repro", "--force", "--single-item", "walk",
        env=toy.environment() | {"SHELL": shell}, start_new_session=True,
    )  # fmt: skip


def family(toy: Toy) -> dict[str, list[psutil.Process]]:
    """The processes at work in the toy: of DVC, of the runner, and kernels."""
    found = {"dvc": [], "runner": [], "kernel": []}
    for process in psutil.process_iter(["cwd", "cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if process.info["cwd"] == str(toy.path):
            for name, words in (
                ("dvc", "dvc repro"),
                ("runner", "notebook_pipeline run"),
                ("kernel", "ipykernel"),
            ):
                if words in command:
                    found[name].append(process)
    return found


def all_gone(toy: Toy) -> bool:
    return not any(family(toy).values())


def kill(toy: Toy, whom: str, number: int) -> None:
    """Send a signal to one of the processes, or to all of them."""
    processes = family(toy)
    for name in processes if whom == "all" else [whom]:
        for process in processes[name]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def statuses(toy: Toy) -> dict[str, str]:
    return {run.info.run_id: run.info.status for run in mlflow_runs.search_runs(toy.client())}


@pytest.fixture
def waiting(toy):
    """The toy with a notebook that waits for ever once it has results, and what it then touches."""
    began, _ = toy.insert_wait("walk")
    yield toy, began
    toy.run("git", "checkout", "--", "notebooks")


@pytest.mark.parametrize(
    ("whom", "number", "status"),
    [
        pytest.param("runner", signal.SIGINT, "KILLED", marks=pytest.mark.nightly),
        pytest.param("runner", signal.SIGTERM, "KILLED", marks=pytest.mark.nightly),
        pytest.param("runner", signal.SIGKILL, "RUNNING", marks=pytest.mark.nightly),
        pytest.param("dvc", signal.SIGKILL, "KILLED", marks=pytest.mark.nightly),
        ("kernel", signal.SIGKILL, "FAILED"),
        ("group", signal.SIGTERM, "KILLED"),  # as `timeout` and systemd do: not the kernel's
        ("all", signal.SIGKILL, "RUNNING"),
    ],
)
def test_a_run_that_ends_early_tells_how_or_the_next_command_does(waiting, whom, number, status):
    toy, began = waiting
    before = statuses(toy)
    process = start(toy)
    wait_for(began.exists)
    if whom == "group":
        os.killpg(process.pid, number)
    else:
        kill(toy, whom, number)
    wait_for(lambda: all_gone(toy))
    assert process.wait(timeout=180) != 0
    [new] = statuses(toy).keys() - before.keys()
    assert statuses(toy)[new] == status  # what the process itself could still say
    # As every command that opens the store does.
    mlflow_runs.close_dead_runs(toy.client())
    assert statuses(toy)[new] == status.replace("RUNNING", "KILLED")
    assert (toy.path / ATTEMPT / "environment.json").is_file()


def is_importing(runner: psutil.Process) -> bool:
    """Whether a runner has begun to import what talks to kernels."""
    with suppress(psutil.Error):
        return any("zmq" in mapped.path for mapped in runner.memory_maps())
    return False


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_stage_that_is_still_starting_ends_with_dvc(toy, shell):
    process = start(toy, shell)
    wait_for(lambda: any(map(is_importing, family(toy)["runner"])))
    kill(toy, "dvc", signal.SIGKILL)
    process.wait(timeout=180)
    wait_for(lambda: all_gone(toy), seconds=10)


def check_in_the_end(toy: Toy, expected: dict[str, bytes]) -> None:
    toy.run("dvc", "repro", "walk")
    assert outputs(toy) == expected
    runs = mlflow_runs.finished_runs(toy.client())
    assert [len(found) for found in runs.values()] == [1] * len(runs)
    assert "0 problems" in toy.call("status")


def end_and_record(toy: Toy, process: subprocess.Popen) -> None:
    wait_for(lambda: all_gone(toy))
    process.wait(timeout=180)
    toy.call("backfill")
    assert "RUNNING" not in statuses(toy).values()


def test_killed_at_its_start_under_way_and_at_its_end_it_ends_in_the_same_bytes(own_toy):
    expected = outputs(own_toy)
    for moment, whom in zip(MOMENTS, ("runner", "all", "dvc"), strict=True):
        process = start(own_toy)
        wait_for(lambda moment=moment: (own_toy.path / ATTEMPT / moment).exists())
        kill(own_toy, whom, signal.SIGKILL)
        end_and_record(own_toy, process)
        # DVC has taken its outputs away; at the very end the runner may be done before it is ended.
        is_left = any((own_toy.path / FOLDER).glob("[!.r]*"))
        assert not is_left or (moment == MOMENTS[-1] and outputs(own_toy) == expected)
    check_in_the_end(own_toy, expected)


@pytest.mark.nightly
def test_killed_at_30_random_moments_it_ends_in_the_same_bytes(own_toy):
    expected = outputs(own_toy)
    began = time.monotonic()
    own_toy.run("dvc", "repro", "--force", "--single-item", "walk")
    whole = time.monotonic() - began
    assert outputs(own_toy) == expected
    moments = random.Random(30)
    for number in range(1, 31):
        process = start(own_toy)
        time.sleep(moments.uniform(0, whole))
        there = [name for name, found in family(own_toy).items() if found]
        kill(own_toy, moments.choice([*there, "all"]), signal.SIGKILL)
        end_and_record(own_toy, process)
        if number % 5 == 0:
            check_in_the_end(own_toy, expected)
