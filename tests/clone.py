"""A temporary clone of the working tree in which the whole pipeline runs in about a minute."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
import nbformat
import yaml

from tests.repository import ROOT

SMALL = {"units": [4, 3], "epochs": 2, "seeds": [1], "trace_samples": 4, "resamples": 100}
SMALL_WINDOWS = {**SMALL, "window": 20, "train_stride": 20}


@dataclass(frozen=True)
class Clone:
    path: Path

    def run(self, *command: str, ok: bool = True, audit: Path | None = None) -> str:
        """Run a command of the environment in the clone and return all that it printed.

        With ``audit``, a folder, each process of a stage writes there which files it read.
        """
        env = self.environment()
        if audit:
            env["LSTM_STATES_AUDIT"] = str(audit)
        done = subprocess.run(
            command, cwd=self.path, env=env, encoding="utf-8", check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert (done.returncode == 0) is ok, done.stdout
        return done.stdout

    def environment(self) -> dict[str, str]:
        """The variables of a process in the clone."""
        bin_folder = Path(sys.executable).parent
        env = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_TRACKING")}
        env["PATH"] = f"{bin_folder}{os.pathsep}{env['PATH']}"
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # as on most machines
        env["PYTHONPATH"] = str(self.path / "src")  # its own code, not that of the checkout
        return env

    def client(self) -> mlflow.MlflowClient:
        """A client of the clone's own store; that of this process stays what it is."""
        return mlflow.MlflowClient(f"sqlite:///{self.path / 'mlflow.db'}")

    def pulled_into(self, path: Path, remote: Path) -> "Clone":
        """A fresh clone of this one at ``path``, its outputs pulled from a new remote."""
        self.run("dvc", "remote", "add", "--force", "--default", "here", str(remote))
        self.run("dvc", "push")
        other = Clone(path)
        self.run("git", "clone", "--quiet", ".", str(path))
        other.run("dvc", "remote", "add", "--default", "here", str(remote))
        self.run("dvc", "remote", "remove", "here")
        other.run("dvc", "pull")
        return other

    def set_parameters(self, changes: dict[str, dict]) -> None:
        """Change values in params.yaml, given by section."""
        path = self.path / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        for section, values in changes.items():
            params[section] |= values
        path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def make_clone(path: Path) -> Clone:
    """Clone the repository with its uncommitted changes to ``path`` and make everything small."""
    subprocess.run(["git", "clone", "--quiet", "--no-local", ROOT, path], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, encoding="utf-8",
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes((ROOT / name).read_bytes())
    clone = Clone(path)
    # Stages search no other folder than src for modules; git must not take it for a source.
    shutil.copy(ROOT / "tests/audit/sitecustomize.py", path / "src")
    (path / ".git/info/exclude").write_text("/src/sitecustomize.py\n", encoding="utf-8")
    (path / "dvc.lock").unlink(missing_ok=True)
    clone.set_parameters(
        {
            "stacked": SMALL_WINDOWS,
            "intermediate_outputs": SMALL_WINDOWS,
            "variable_length": {**SMALL, "units": [16, 8]},
            "how_states_flow": {"samples": 2, "seeds": [0]},
            "memory": {
                "samples": 4,
                "steps": 20,
                "width": 4,
                "lengths": [4],
                "training_steps": 4,
                "seeds": [0],
            },
            "depth": {
                "samples": 6,
                "width": 4,
                "training_steps": 8,
                "signal_steps": 2,
                "label_steps": 2,
                "batch_size": 16,
                "seeds": [0],
            },
            "carrying_state": {"samples": 2, "steps": 10, "seeds": [0]},
            "masking": {"samples": 4, "units": [4, 3], "epochs": 1, "seeds": [0]},
            "cost": {"training_lengths": [1000], "processes": 1, "windows": [100], "rounds": 31},
        }
    )
    params = yaml.safe_load((path / "params.yaml").read_text(encoding="utf-8"))
    params["sweeps"]["depth_and_width"] |= {
        "grid": {"depth": [1, 2], "width": [4]}, "fixed": {"epochs": 1}, "seeds": [0, 1],
    }  # fmt: skip
    params["datasets"]["order_book"] |= {"bar_ms": 500, "horizon_bars": 2}
    (path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    for notebook in (path / "notebooks").glob("*.ipynb"):
        set_defaults(notebook, params[notebook.stem[3:]])
    clone.run("git", "config", "user.name", "test")
    clone.run("git", "config", "user.email", "test@example.invalid")
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--message", "small parameters")
    return clone


def set_defaults(path: Path, values: dict) -> None:
    """Write ``values`` into the parameters cell of the notebook at ``path``."""
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    nbformat.write(notebook, path)
