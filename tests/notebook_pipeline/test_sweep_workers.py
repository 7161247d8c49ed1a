"""One point, computed as a worker does, in this process."""

import json
import os
import re
import sys
import time

import numpy as np
import pytest

from notebook_pipeline.sweeps.point import PointKilledError, Task, _process, compute, compute_apart
from tests.toy_clone import make_project

CODE = """
import os, threading, numpy
def plain(parameters, seed, root):
    return {"sum": numpy.float32(parameters["a"] + seed), "here": len(root), "none": 1e999}
def wrong(parameters, seed, root):
    raise ValueError("first line\\nsecond line")
def alone(parameters, seed, root):
    print("this is no answer")
    return {"threads": threading.active_count(), "hash_seed": int(os.environ["PYTHONHASHSEED"])}
def text(parameters, seed, root):
    return {"score": "high"}
"""


@pytest.fixture
def point(tmp_path, monkeypatch):
    """A function that computes a point of a project with these functions."""
    root = make_project(tmp_path / "project")
    (root / "src").mkdir()
    (root / "src/pointed.py").write_text(CODE, encoding="utf-8")
    os.utime(root / "src/pointed.py", (0, 0))  # long before this process began
    monkeypatch.syspath_prepend(root / "src")
    monkeypatch.delitem(sys.modules, "pointed", raising=False)

    def run(function, **options):
        return compute(Task(f"pointed:{function}", {"a": 1.5}, 2, str(root), **options))

    run.root, run.task = root, Task("pointed:alone", {}, 0, str(root))
    return run


def test_what_a_point_gives_is_plain(point):
    found = point("plain")
    assert found.error == ""
    assert found.metrics == {"sum": 3.5, "here": len(str(point.root)), "none": None}
    assert json.loads(json.dumps(found.metrics)) == found.metrics
    assert not isinstance(found.metrics["sum"], np.generic)


def test_what_goes_wrong_is_told_in_a_line_with_its_story_apart(point):
    found = point("wrong")
    assert (found.metrics, found.error) == ({}, "ValueError: first line")
    assert "second line" in found.story
    assert point("text").error == (
        "TypeError: score is 'high'; each value that a point returns is a number"
    )
    assert "no attribute 'absent'" in point("absent").error


def test_a_worker_with_other_packages_computes_nothing(point):
    lock = point.root / "requirements.lock"
    lock.write_text("numpy==0.1 \\\n    --hash=sha256:0\n", encoding="utf-8")
    assert point("plain").error == ""
    told = point("plain", is_remote=True).error
    assert re.fullmatch(
        r"RuntimeError: the worker has numpy [\d.]+ instead of 0.1; install what requ.* says", told
    )


def test_code_that_changed_since_a_worker_began_computes_nothing(point):
    assert point("plain").error == ""
    now = time.time()
    os.utime(point.root / "src/pointed.py", (now - 0.001, now - 0.001))
    assert "changed while its code was running" in point("plain").error


def test_a_worker_computes_where_nothing_else_draws_random_numbers(point, monkeypatch):
    """Dask's threads do; a model that was built beside them began with other weights."""
    monkeypatch.setenv("PYTHONHASHSEED", "6640")  # as Dask has it
    outcome = compute_apart(point.task)
    process = _process(str(point.root))
    assert outcome.error == ""
    # The points', and the one that waits for the end of the worker.
    assert outcome.metrics == {"threads": 2, "hash_seed": 0}
    process.kill()
    with pytest.raises(PointKilledError, match="ended with -9"):
        compute_apart(point.task)
    for pipe in (process.stdin, process.stdout):
        pipe.close()
