import os
import sys

import pytest

from notebook_pipeline.errors import ConfigError
from notebook_pipeline.system.environment import clone_environment
from notebook_pipeline.verification.clone import temporary_clone
from tests.repository import git


@pytest.fixture
def repository(tmp_path):
    """Files that are committed, changed, deleted, taken out of the index, new, and ignored."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("committed", "changed", "deleted", "removed"):
        (folder / name).write_text("old", encoding="utf-8")
    (folder / ".gitignore").write_text("/outputs/\n", encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    (folder / "changed").write_text("new", encoding="utf-8")
    (folder / "deleted").unlink()
    git(folder, "rm", "--quiet", "removed")
    for name in ("src", "outputs"):
        (folder / name).mkdir()
        (folder / name / "file").write_text("new", encoding="utf-8")
    return folder


def test_it_holds_what_is_there_now_without_outputs(repository, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/elsewhere")  # as within a hook of git
    with temporary_clone(repository) as clone:
        files = {p for p in clone.rglob("*") if p.is_file() and ".git" not in p.parts}
        texts = {str(path.relative_to(clone)): path.read_text(encoding="utf-8") for path in files}
    assert texts == {
        ".gitignore": "/outputs/\n", "committed": "old", "changed": "new", "src/file": "new",
    }  # fmt: skip
    assert not clone.exists()


def test_a_folder_that_is_no_repository(tmp_path):
    with pytest.raises(ConfigError, match=r"^git clone .*does not exist|not a git repository"):
        temporary_clone(tmp_path).__enter__()


def test_commands_in_the_clone_run_its_own_code_and_keep_their_runs_there(tmp_path, monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "DVC_STAGE", "GIT_DIR"):
        monkeypatch.setenv(name, "elsewhere")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    environment = clone_environment(tmp_path)
    assert "elsewhere" not in environment.values()
    assert environment["PYTHONPATH"] == str(tmp_path / "src")
    assert environment["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert environment["PATH"].split(os.pathsep)[0] == os.path.dirname(sys.executable)
