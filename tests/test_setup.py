"""`make env` says in one line what a machine lacks, and makes .venv anew where it doesn't serve."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from hashlib import sha256

import pytest

from tests.repository import ROOT
from tests.wheel import write_wheel


@pytest.fixture
def machine(tmp_path):
    """A folder with the Makefile, and a PATH that holds little more than make."""
    (tmp_path / "src").mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml", "src/pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for name in ("make", "bash", "sh", "git"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    return tmp_path


def make_env(machine, *variables):
    return subprocess.run(
        ["make", "env", *variables], cwd=machine, env={"PATH": str(machine / "bin")},
        capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip


def fake_python(machine, prelude):
    """A Python that runs ``prelude`` before the code it is given with -c."""
    path = machine / "bin/fake"
    python = shlex.quote(sys.executable)
    path.write_text(
        f"#!{shutil.which('sh')}\nexec {python} -c \"{prelude}; exec(r'''$2''')\"\n",
        encoding="utf-8",
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


# A project as small as can be, which tests/wheel.py builds: no index, no download.
PROJECT = """\
[build-system]
requires = []
build-backend = "tests.wheel"
[project]
name = "house"
version = "1"
"""
SCRIPTS = """\
[project.scripts]
lstm-states = "house:lstm_states"
jupyter = "house:jupyter"
mlflow = "house:mlflow"
"""
# Each command says where its code lies, or what it was called with.
CODE = """\
import os, sys
jobs = "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"
def lstm_states(): print(sys.prefix, __file__, *sys.argv[1:])
def jupyter(): print(*sys.argv[1:])
def mlflow(): print(f"{jobs}={os.environ[jobs]}", *sys.argv[1:])
"""


def make(house, *arguments, **environment):
    env = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ".", **environment}
    env["PYTHONPATH"] = str(ROOT)  # for tests.wheel
    return subprocess.run(
        ["make", f"PYTHON={sys.executable}", *arguments], cwd=house, env=env,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", check=False,
    )  # fmt: skip


WAY_OUT = (
    "git init && git add --all && "
    "git -c user.name=test -c user.email=test@example.invalid commit --message start"
)


def lay_ground(house):
    """Write the small project and its lock of one package into the folder ``house``."""
    (house / "src/house").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", house)
    wheel = write_wheel(house, "brick", {"brick.py": "clay = 1\n"})
    texts = {
        "requirements.lock": f"brick==1 --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n",
        "pyproject.toml": PROJECT,
        "src/pyproject.toml": PROJECT.replace('"house"', '"furniture"') + SCRIPTS,
        "src/house/__init__.py": CODE,
    }
    for name, text in texts.items():
        (house / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The small project with its .venv, which is refused first: it came without a repository."""
    house = tmp_path_factory.mktemp("setup") / "house"
    lay_ground(house)
    refused = make(house, "env", GIT_CEILING_DIRECTORIES=str(house.parent))
    assert refused.returncode != 0
    assert "unpacked zip: git init && git add --all && git commit --message start" in refused.stdout
    assert not (house / ".venv").exists()
    subprocess.run(WAY_OUT, shell=True, cwd=house, check=True, capture_output=True)
    made = make(house, "env")
    assert made.returncode == 0, made.stdout
    return house


def test_what_is_whole_is_left_alone(house):
    assert make(house, "env").stdout == "make: Nothing to be done for 'env'.\n"


def test_a_copied_or_renamed_checkout_gets_packages_of_its_own(house, tmp_path):
    other = tmp_path / "the other (2)"
    shutil.copytree(house, other, symlinks=True)
    done = make(other, "repro")
    assert "installed elsewhere" in done.stdout
    assert f"{other}/.venv {other}/src/house/__init__.py repro\n" in done.stdout
    assert f"{house}/.venv {house}/src/house/__init__.py repro\n" in make(house, "repro").stdout


def test_where_the_command_was_the_other_distributions_it_is_there_again(house):
    """Before, the library had it: to install the library anew takes it away."""
    project, command = house / "pyproject.toml", house / ".venv/bin/lstm-states"
    project.write_text(PROJECT + SCRIPTS, encoding="utf-8")
    assert make(house, "env").returncode == 0
    assert str(command.relative_to(house / ".venv")) in installed_files(house, "house")
    project.write_text(PROJECT, encoding="utf-8")
    assert make(house, "env").returncode == 0
    assert str(command.relative_to(house / ".venv")) not in installed_files(house, "house")
    assert make(house, "repro").stdout.splitlines()[0].endswith("house/__init__.py repro")
    assert command.is_file()


def installed_files(house, name):
    """What a distribution has brought, relative to .venv."""
    [record] = (house / ".venv").glob(f"lib/python*/site-packages/{name}-1.dist-info/RECORD")
    text = record.read_text(encoding="utf-8")
    return [line.partition(",")[0].removeprefix("../../../") for line in text.splitlines()]


def test_a_python_that_is_gone_is_noticed(house, tmp_path):
    python = house / ".venv/bin/python"
    target = os.readlink(python)
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    assert "rm -rf .venv\n" in make(house, "--dry-run", "env").stdout
    python.unlink()
    python.symlink_to(target)
    assert "rm -rf" not in make(house, "--dry-run", "env").stdout


def test_an_installation_tells_how_far_it_is_and_once_interrupted_begins_anew(tmp_path):
    lay_ground(tmp_path)
    subprocess.run(WAY_OUT, shell=True, cwd=tmp_path, check=True, capture_output=True)
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(
        "import sys, time\nif 'requirements.lock' in sys.orig_argv: time.sleep(600)\n",
        encoding="utf-8",
    )
    command = ["make", f"PYTHON={sys.executable}", "TICK=0.2", "env"]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(slow)}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
        # Tests in the background of a shell inherit that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert any("0 of 1 packages are installed" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        process.stdout.read()  # ends, since nobody tells any more
    assert process.returncode != 0
    assert "rm -rf .venv\n" in make(tmp_path, "--dry-run", "env").stdout


def test_options_reach_jupyterlab(house):
    assert "--allow-root notebooks\n" in make(house, "notebooks", "ARGS=--allow-root").stdout


def test_the_runs_are_shown_at_a_port_that_is_free(house):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words in (make(house, "ui", f"PORT={port}"), make(house, "ui", MLFLOW_PORT=str(port))):
            assert words.returncode != 0
            told = words.stdout.splitlines()[0]
            assert told.startswith(f"Port {port} is taken")
            assert told.endswith(f"make ui PORT={port + 1}")
    done = make(house, "ui", f"PORT={port}")
    assert "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false ui" in done.stdout
    assert f"--port {port} --workers 1" in done.stdout


def test_a_path_that_mlflow_s_server_does_not_take_is_told(house, tmp_path):
    other = tmp_path / "50%"
    shutil.copytree(house, other, symlinks=True)
    done = make(other, "ui")
    assert done.returncode != 0
    assert done.stdout.splitlines()[-2].endswith(
        f"as {other} has: rename it, then run make ui again"
    )
    assert "--backend-store-uri" not in done.stdout
