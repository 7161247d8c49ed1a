"""Stages on workers that have nothing of the clone but DVC's cache, or its remote."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
import yaml

from tests.repository import ROOT
from tests.toy_clone import make_toy

pytestmark = pytest.mark.slow


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
        address = json.loads(process.stdout.readline())
        told = {"kind": "address", "arguments": {"address": address}, "jobs": count}
        path = clone.path.parent / "cluster.yaml"
        path.write_text(yaml.safe_dump(told | settings), encoding="utf-8")
        yield process, str(path)
        process.stdin.close()


def locked(clone):
    return yaml.safe_load((clone.path / "dvc.lock").read_text(encoding="utf-8"))["stages"]


def test_the_toy_gives_the_bytes_of_one_after_the_other(toy, tmp_path):
    other = make_toy(tmp_path / "other")
    with workers(other) as (_, file):
        printed = other.call("repro", "--cluster", file)
    print(printed)
    assert locked(other) == locked(toy)
    assert "up to date" in other.run("dvc", "repro", "--dry")
    assert "0 problems" in other.call("status")
    assert other.call("repro") == "everything is up to date\n"
