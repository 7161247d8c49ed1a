"""The toy on a SLURM of one node, through dask-jobqueue, as a user of a cluster would run it."""

import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import psutil
import pytest

from tests.notebook_pipeline.light import cluster_file, lines, locked, stage
from tests.slurm import missing, one_node
from tests.toy_clone import Toy, make_toy, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

ARGUMENTS = {"memory": "1GB", "job_cpu": 1, "walltime": "00:30:00", "interface": "lo"}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with the packages of this one, and dask-jobqueue."""
    folder = tmp_path_factory.mktemp("python")
    extra = folder / "jobqueue"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(extra)]
    done = subprocess.run(
        [sys.executable, *install, "dask-jobqueue"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("dask-jobqueue can't be installed here")
    home = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    [packages] = home.glob("lib/python*/site-packages")
    (packages / "all.pth").write_text(
        f"{sysconfig.get_path('purelib')}\n{extra}\n", encoding="utf-8"
    )
    (home / "share").symlink_to(Path(sys.prefix) / "share")
    return str(home / "bin/python")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The variables of a SLURM of one node."""
    if why := missing():
        pytest.skip(why)
    with one_node(tmp_path_factory.mktemp("slurm") / "slurm") as variables:
        yield variables


def settings_file(clone: Toy, **settings) -> str:
    told = {"kind": "slurm", "jobs": 2, "arguments": ARGUMENTS} | settings
    return str(cluster_file(clone.path.parent, **told))


def repro(clone: Toy, python: str, slurm: dict[str, str], file: str) -> subprocess.Popen:
    return subprocess.Popen(
        [python, "-m", "notebook_pipeline", "repro", "--cluster", file], cwd=clone.path,
        env=clone.environment() | slurm, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_the_toy_gives_the_bytes_of_one_after_the_other(toy, tmp_path, python, slurm):
    other = make_toy(tmp_path / "other")
    began = time.monotonic()
    process = repro(other, python, slurm, settings_file(other, lifetime="20 minutes"))
    printed = process.communicate(timeout=600)[0]
    print(f"{printed}the toy on SLURM: {time.monotonic() - began:.0f} s")
    assert process.returncode == 0, printed
    assert "Exception" not in printed
    assert locked(other) == locked(toy)
    assert "0 problems" in other.call("status")
    assert list((other.path / ".dvc/tmp/cluster").glob("*key*")) == []
    wait_for(lambda: not queue(slurm))


def queue(slurm):
    command = ["squeue", "--noheader", "--states=PENDING,RUNNING"]
    return subprocess.check_output(command, env=slurm | {"PATH": "/usr/bin"}, encoding="utf-8")


def test_a_job_that_slurm_kills_at_its_walltime_fails_its_stage(
    repository, tmp_path, python, slurm
):
    clone = repository(slow=stage("sleep 600; touch slow.txt", "slow") | {"deps": ["given"]})
    (clone.path / "given").write_text("", encoding="utf-8")
    file = settings_file(clone, jobs=1, arguments=ARGUMENTS | {"walltime": "00:01:00"})
    process = repro(clone, python, slurm, file)
    printed = process.communicate(timeout=400)[0]
    assert process.returncode == 1
    assert lines(printed, "slow")[-1].startswith("slow: failed after")
    assert "Its worker was killed" in printed
    assert not (clone.path / "dvc.lock").exists()


def test_a_driver_that_is_killed_leaves_no_job(repository, tmp_path, python, slurm):
    began = tmp_path / "began"
    slow = stage(f"touch {began}; sleep 600; touch slow.txt", "slow") | {"deps": ["given"]}
    clone = repository(slow=slow)
    (clone.path / "given").write_text("", encoding="utf-8")
    with repro(clone, python, slurm, settings_file(clone, jobs=1)) as process:
        wait_for(began.exists)
        process.kill()
    wait_for(lambda: not queue(slurm))
    sleeps = [one for one in psutil.process_iter() if one.name() == "sleep"]
    assert not [one for one in sleeps if one.cmdline() == ["sleep", "600"]]
