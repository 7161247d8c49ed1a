"""Stages side by side: real processes and DVC itself, on pipelines that take seconds."""

import re
from itertools import pairwise

import joblib
import psutil
import pytest
import yaml

from notebook_pipeline import cli
from notebook_pipeline.repro import parallel
from notebook_pipeline.repro.parallel import default_jobs
from notebook_pipeline.system.environment import FIXED
from tests.notebook_pipeline.light import ALONE, let_all_run_beside, lines, locked, stage, write
from tests.toy_clone import make_toy

pytestmark = pytest.mark.slow


def diamond(left="left", right="right"):
    return {
        "top": write("top"),
        "left": write("left", "top", beside=left),
        "right": write("right", "top", beside=right),
        "bottom": write("bottom", "left", "right"),
    }


def spans(clone, *names):
    return [
        tuple(
            float((clone.path / f"{name}.{end}").read_text(encoding="utf-8"))
            for end in ("began", "ended")
        )
        for name in names
    ]


def test_what_is_independent_runs_at_once_and_what_depends_on_it_after_it(repository):
    clone = repository(**diamond("right", "left"))
    printed = clone.call("repro", "--jobs", "2")
    top, left, right, bottom = spans(clone, "top", "left", "right", "bottom")
    assert top[1] < min(left[0], right[0])
    assert max(left[0], right[0]) < min(left[1], right[1])
    assert max(left[1], right[1]) < bottom[0]
    assert (clone.path / "bottom.txt").read_text(
        encoding="utf-8"
    ) == "top\nleft\ntop\nright\nbottom\n"
    started, ended = lines(printed, "left")
    assert started == "left: running"
    assert re.fullmatch(r"left: done after \d+ s", ended)
    assert "\x1b" not in printed
    assert "echo left" in (clone.path / "reports/logs/left.log").read_text(encoding="utf-8")
    assert "up to date" in clone.run("dvc", "status")
    assert clone.call("repro") == "everything is up to date\n"


def test_one_job_is_one_stage_at_a_time_in_the_order_of_dvc(repository):
    clone = repository(**diamond())
    clone.call("repro", "--jobs", "1")
    found = spans(clone, "top", "left", "right", "bottom")
    assert all(before[1] < after[0] for before, after in pairwise(found))


def test_nothing_runs_beside_a_stage_that_measures_time(repository):
    clone = repository(
        cost=write("cost") | ALONE,
        other=write("other", beside="plain"),
        plain=write("plain", beside="other"),
    )
    clone.call("repro", "--jobs", "3")
    cost, other, plain = spans(clone, "cost", "other", "plain")
    assert max(other[1], plain[1]) < cost[0]
    assert max(other[0], plain[0]) < min(other[1], plain[1])


def test_what_has_not_changed_is_left_alone(repository):
    clone = repository(**diamond())
    clone.call("repro")
    pipeline = yaml.safe_load((clone.path / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    pipeline["left"]["cmd"] += "; true"  # runs again, with the same output
    clone = repository(**pipeline)
    printed = clone.call("repro", "--jobs", "2")
    assert lines(printed, "top") == ["top: unchanged"]
    assert len(lines(printed, "left")) == 2
    assert lines(printed, "right") == ["right: unchanged"]
    assert lines(printed, "bottom")[1].startswith("bottom: unchanged after")
    (clone.path / "left.txt").unlink()
    printed = clone.call("repro")
    assert lines(printed, "left")[1].startswith("left: restored after")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_failure_leaves_out_what_needs_it_and_nothing_else(repository, jobs):
    pipeline = {
        "broken": stage("cat said; exit 3", "broken"),
        "after_broken": write("after_broken", "broken"),
        "at_the_end": write("at_the_end", "after_broken", "after_beside", "worse"),
        "beside": write("beside"),
        "after_beside": write("after_beside", "beside"),
        "worse": stage("until [ -e after_beside.txt ]; do sleep 0.05; done; exit 4", "worse"),
    }
    clone = repository(**pipeline)
    said = "Executing: | 1/9\rExecuting: | 2/9\nIt broke\n"
    (clone.path / "said").write_text(said, encoding="utf-8")
    printed = clone.call("repro", "--jobs", jobs, ok=False)
    assert re.search("broken: failed after .* s, see reports/logs/broken.log\n", printed)
    assert lines(printed, "after_beside")[1].startswith("after_beside: done after")
    assert (clone.path / "after_beside.txt").is_file()
    assert "after_broken: running" not in printed
    _, summary = printed.split("python -m notebook_pipeline: ")
    first, second, left_out = (part for part in re.split(r"\n\n(?!ERROR)", summary) if part)
    told = {part.split()[0]: part for part in (first, second)}
    assert told["broken"].startswith("broken failed. Its log ends with:\n")
    assert "It broke" in told["broken"]
    assert "exited with 3" in told["broken"]
    assert "Executing" not in printed
    assert "The full log is reports/logs/broken.log" in told["broken"]
    assert "exited with 4" in told["worse"]
    assert left_out.splitlines() == [
        "after_broken: skipped: needs broken",
        f"at_the_end: skipped: needs {' and '.join(told)}",
    ]
    mended = {name: stage(f"touch {name}.txt", name) for name in ("broken", "worse")}
    clone = repository(**(pipeline | mended))
    printed = clone.call("repro", "--jobs", jobs)
    assert lines(printed, "after_beside") == ["after_beside: unchanged"]
    assert lines(printed, "at_the_end")[1].startswith("at_the_end: done after")


def test_what_needs_an_unchanged_stage_that_measures_time_runs(repository):
    pipeline = {"cost": write("cost") | ALONE, "after": write("after", "cost")}
    clone = repository(**pipeline)
    clone.call("repro")
    pipeline["after"]["cmd"] += "; true"
    clone = repository(**pipeline)
    printed = clone.call("repro")
    assert lines(printed, "cost") == ["cost: unchanged"]
    assert lines(printed, "after")[1].startswith("after: done after")


def test_a_stage_has_the_variables_of_the_command_not_those_of_dask(repository):
    clone = repository(told=stage("env > told.txt", "told"))
    clone.call("repro")
    text = (clone.path / "told.txt").read_text(encoding="utf-8")
    found = dict(line.partition("=")[::2] for line in text.splitlines())
    assert {name: found[name] for name in FIXED} == FIXED
    assert not [name for name in found if "DASK" in name or name.startswith("MALLOC")]


def test_what_dvc_refuses_is_told(repository):
    clone = repository(one=stage("true", "same"), other=stage("true", "same"))
    printed = clone.call("repro", ok=False)
    assert printed.startswith("python -m notebook_pipeline: ")
    assert "same.txt" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("jobs", ["0", "-1", "1.5", "many"])
def test_jobs_is_a_whole_number_of_at_least_1(jobs, repository, monkeypatch, capsys):
    monkeypatch.chdir(repository().path)
    assert cli.main(["repro", f"--jobs={jobs}"]) == 2
    assert "Invalid value for '--jobs': " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cores", "gigabytes", "a_stage", "jobs"),
    [(16, 99, 3, 16), (16, 10, 3, 3), (16, 10, 2, 5), (1, 1, 3, 1)],
)
def test_the_default_is_what_cores_and_memory_allow(
    monkeypatch, tmp_path, cores, gigabytes, a_stage, jobs
):
    memory = psutil.virtual_memory()._replace(available=gigabytes * 2**30)
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(parallel, "CONTAINER_MEMORY", tmp_path / "memory.max")
    assert default_jobs(a_stage * 2**30) == jobs
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert default_jobs(a_stage * 2**30) == jobs
    (tmp_path / "memory.max").write_text(f"{7 * 2**30}\n", encoding="utf-8")
    assert default_jobs(a_stage * 2**30) == min(jobs, 7 // a_stage)


def test_three_jobs_give_the_bytes_of_one(toy, tmp_path):
    other = make_toy(tmp_path / "parallel")
    let_all_run_beside(other)
    other.call("repro", "--jobs", "3")
    assert locked(other) == locked(toy)
    assert "up to date" in other.run("dvc", "repro", "--dry")
    changed = other.run("git", "status", "--porcelain", "data", "reports")
    assert changed.count(".gitignore") == 0
