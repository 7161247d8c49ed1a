"""`make env` says in one line what a machine lacks, before it changes anything."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.clone import ROOT


@pytest.fixture
def machine(tmp_path):
    """A folder with the Makefile, and a PATH that holds little more than make."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("make", "bash", "sh", "git"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    return tmp_path


def make_env(machine, *variables):
    return subprocess.run(
        ["make", "env", *variables], cwd=machine, env={"PATH": str(machine / "bin")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def fake_python(machine, prelude):
    """A Python that runs ``prelude`` before the code it is given with -c."""
    path = machine / "bin/fake"
    path.write_text(
        f"#!{shutil.which('sh')}\nexec {sys.executable} -c \"{prelude}; exec(r'''$2''')\"\n"
    )
    path.chmod(0o755)
    return f"PYTHON={path}"


def assert_one_line(done, words):
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(said) == 1, done.stderr
    assert words in said[0]


def test_no_python(machine):
    assert_one_line(make_env(machine), "No Python 3.11, 3.12 or 3.13 on the PATH")


def test_no_git(machine):
    os.unlink(machine / "bin/git")
    assert_one_line(make_env(machine, f"PYTHON={sys.executable}"), "git is missing")


def test_a_wrong_python(machine):
    python = fake_python(machine, "import sys; sys.version_info = (3, 9, 1)")
    assert_one_line(make_env(machine, python), "Python 3.9 found; 3.11, 3.12 or 3.13 is needed")


def test_no_venv(machine):
    python = fake_python(machine, "import sys; sys.modules['venv'] = None")
    assert_one_line(make_env(machine, python), "has no venv module")
