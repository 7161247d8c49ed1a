"""A repository made of tests/toy: DVC, MLflow and kernels at work, in seconds."""

import fcntl
import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import TemporaryFile

import nbformat
import yaml
from mlflow.tracking._tracking_service import utils
from nbformat.v4 import new_code_cell

from notebook_pipeline.mlflow_runs.store import Client
from tests.clone import Clone
from tests.commands import command
from tests.repository import ROOT

TOY = ROOT / "tests/toy"

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "tests.commands"])


class Toy(Clone):
    """Like a clone, but of the toy, and with the engine that is under test here."""

    def environment(self) -> dict[str, str]:
        """The variables of a process in the toy."""
        env = super().environment()
        return env | {"PYTHONPATH": f"{env['PYTHONPATH']}{os.pathsep}{ROOT / 'src'}"}

    def call(self, *arguments: str, ok: bool = True) -> str:
        """Call the engine and return all that it printed.

        A `run` starts as DVC starts it. Other commands need not import all again, which would take
        most of their time: they run in a fork of a process that has.
        """
        if arguments[0] == "run":
            return self.run("python", "-m", "notebook_pipeline", *arguments, ok=ok)
        with TemporaryFile("w+", encoding="utf-8") as said:
            told = self.path, self.environment(), arguments, DupFd(said.fileno())
            process = FORKS.Process(target=command, args=told)
            process.start()
            process.join()
            said.seek(0)
            printed = said.read()
        assert (process.exitcode == 0) is ok, printed
        return printed

    def start(self, *command: str, **options) -> subprocess.Popen:
        """Start a command and return its process."""
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
        env = self.environment()
        return subprocess.Popen(command, cwd=self.path, **{"env": env, **streams, **options})

    def start_call(self, *arguments: str, **options) -> subprocess.Popen:
        """Start the engine and return its process."""
        return self.start("python", "-m", "notebook_pipeline", *arguments, **options)

    def client(self) -> Client:
        """A client of the toy's own store; that of this process stays what it is."""
        # By the id of a run alone MLflow remembers where its artifacts were; toys are copies.
        utils._artifact_repos_cache.clear()
        client = Client(f"sqlite:///{self.path / 'mlflow.db'}", "toy")
        assert client.find_experiment()
        return client

    def notebook(self, name: str) -> Path:
        """The path of a notebook."""
        [path] = (self.path / "notebooks").glob(f"*_{name}.ipynb")
        return path

    def insert(self, name: str, code: str, *, at: int = 4) -> None:
        """Insert a cell of code into a notebook; with 4 it comes once there are results."""
        notebook = nbformat.read(self.notebook(name), as_version=4)
        notebook.cells.insert(at, new_code_cell(code))
        nbformat.write(notebook, self.notebook(name))

    def insert_wait(self, name: str) -> tuple[Path, Path]:
        """Have a notebook wait; return what it then touches, and for what it waits."""
        began, go = self.path.parent / f"{name}.began", self.path.parent / f"{name}.go"
        began.unlink(missing_ok=True)
        go.unlink(missing_ok=True)
        self.insert(
            name,
            "import pathlib, time\n"
            f"pathlib.Path({str(began)!r}).touch()\n"
            f"while not pathlib.Path({str(go)!r}).exists():\n    time.sleep(0.05)",
        )
        return began, go

    def commit(self, message: str) -> None:
        """Commit all that there is."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)


def make_toy(path: Path) -> Toy:
    """Make a repository of the toy at ``path``, in which nothing has run."""
    shutil.copytree(TOY, path, ignore=shutil.ignore_patterns("__pycache__"))
    toy = Toy(path)
    toy.run("git", "init", "--quiet")
    toy.run("git", "config", "user.name", "test")
    toy.run("git", "config", "user.email", "test@example.invalid")
    toy.run("dvc", "init", "--quiet")
    toy.commit("first")
    return toy


def make_project(root: Path) -> Path:
    """Make what the engine takes for a project with the notebook `stacked`, and no more."""
    (root / "notebooks").mkdir(parents=True)
    (root / "notebooks/01_stacked.ipynb").touch()
    table = '[tool.notebook_pipeline]\nname = "lstm-states"\n'
    (root / "pyproject.toml").write_text(table, encoding="utf-8")
    return root


def make_stages(root: Path, names: Iterable[str]) -> Path:
    """Make a project of stages that run notebooks of these names, as far as its dvc.yaml tells."""
    (root / "pyproject.toml").write_text("[tool.notebook_pipeline]\n", encoding="utf-8")
    stages = {f"stage_{name}": {"cmd": f"python -m notebook_pipeline run {name}"} for name in names}
    text = yaml.safe_dump({"stages": stages}, sort_keys=False)
    (root / "dvc.yaml").write_text(text, encoding="utf-8")
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("[core]\nno_scm = true\n", encoding="utf-8")
    return root


def make_once(path: Path) -> None:
    """Make a toy at ``path`` and run it, unless another process of these tests does or has."""
    with path.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = path.with_suffix(".done")
        if not done.exists():
            toy = make_toy(path)
            toy.call("repro", "--jobs", "1")
            toy.commit("results")
            done.touch()


def copy_toy(toy: Path, path: Path) -> Toy:
    """Copy a toy with all that has come of it, its run records pointing to its own store."""
    shutil.copytree(toy, path, symlinks=True)
    for record in path.glob("reports/*/run.json"):
        text = record.read_text(encoding="utf-8")
        record.write_text(text.replace(str(toy), str(path)), encoding="utf-8")
    return Toy(path)


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it didn't come"
        time.sleep(0.05)
