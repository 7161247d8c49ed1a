"""Stages that take a moment, of which tests write the pipeline that they need."""

import json
import subprocess
import sys
from contextlib import contextmanager

import psutil
import yaml

from tests.repository import ROOT
from tests.toy_clone import Toy, wait_for

ALONE = {"meta": {"alone": True}}
"""Of a stage that measures time."""


def stage(command, name, *needs):
    return {"cmd": command, "deps": [f"{need}.txt" for need in needs], "outs": [f"{name}.txt"]}


def write(name, *needs, beside=""):
    """A stage that keeps when it began and ended, and hands on what it was given.

    It doesn't end before the stage ``beside`` has begun.
    """
    given = " ".join(["/dev/null", *(f"{need}.txt" for need in needs)])
    wait = f"until [ -e {beside or name}.began ]; do sleep 0.05; done"
    # Moved to its name once the time is in it: what waits for the file may end at once.
    began = f"date +%s.%N > {name}.time; mv {name}.time {name}.began"
    timed = f"{began}; {wait}; date +%s.%N > {name}.ended"
    return stage(f"{timed}; (cat {given}; echo {name}) > {name}.txt", name, *needs)


SLOW = stage("touch began; until [ -e go ]; do sleep 0.1; done; touch slow.txt", "slow")
"""A stage that ends once it may."""


def lines(printed, stage):
    return [line for line in printed.splitlines() if line.startswith(f"{stage}:")]


def start(clone, *arguments, until, jobs=2, **options):
    """The command `repro` as a process, once the files have appeared in the clone."""
    given = (*(("--jobs", str(jobs)) if jobs else ()), *arguments)
    process = clone.start_call("repro", *given, stdout=subprocess.PIPE, **options)
    wait_for(lambda: all((clone.path / name).exists() for name in until))
    return process


@contextmanager
def workers(clone, *options, count=2, **settings):
    """A cluster that is there, and the cluster.yaml that names it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.workers", str(count), *options], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
        env=clone.environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        start_new_session=True,
    )  # fmt: skip
    with process:
        told = {"kind": "address", "arguments": {"address": json.loads(process.stdout.readline())}}
        yield process, str(cluster_file(clone.path.parent, **told, jobs=count, **settings))
        process.stdin.close()


def cluster_file(folder, **told):
    """Write a cluster.yaml into a folder; return its path."""
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    return path


def locked(clone):
    """What dvc.lock tells of each stage."""
    return yaml.safe_load((clone.path / "dvc.lock").read_text(encoding="utf-8"))["stages"]


def left_of(family):
    """What of a family doesn't end by itself; Python's own helpers end a moment after it."""
    alive = psutil.wait_procs(family, timeout=100)[1]
    return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def let_all_run_beside(toy: Toy) -> None:
    path = toy.path / "dvc.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("alone: true", "alone: false"), encoding="utf-8")
