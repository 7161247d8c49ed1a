"""One point, computed as a worker does, in this process."""

import json
import os
import sys
import time

import numpy as np
import pytest

from notebook_pipeline.sweeps.point import Task, compute
from tests.toy_clone import make_project

CODE = """
import os, numpy
def plain(parameters, seed, root):
    return {"sum": numpy.float32(parameters["a"] + seed), "here": len(os.getcwd()), "none": 1e999}
def wrong(parameters, seed, root):
    raise ValueError("first line\\nsecond line")
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

    def run(function, environment=()):
        return compute(Task(f"pointed:{function}", {"a": 1.5}, 2, str(root), dict(environment)))

    run.root = root
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


def test_a_worker_with_other_variables_computes_nothing(point, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "16")
    found = point("plain", {"OMP_NUM_THREADS": "2"})
    assert found.metrics == {}
    assert found.error == (
        "RuntimeError: the worker has OMP_NUM_THREADS=16; it must be 2: set it where the worker "
        "starts"
    )


def test_code_that_changed_since_a_worker_began_computes_nothing(point):
    assert point("plain").error == ""
    now = time.time()
    os.utime(point.root / "src/pointed.py", (now - 0.001, now - 0.001))
    assert "changed while its code was running" in point("plain").error
