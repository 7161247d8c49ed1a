"""Names on the command line."""

import pytest

from notebook_pipeline.cli import main
from tests.toy_clone import make_stages

NAMES = ("stacked", "intermediate_outputs", "masking")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project that has notebooks of these names, as far as its dvc.yaml tells."""
    monkeypatch.chdir(make_stages(tmp_path, NAMES))
    return tmp_path


@pytest.mark.parametrize("command", ["run", "verify", "debug"])
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("stackd", "'stackd' is not a notebook; did you mean 'stacked'?"),
        ("maskin", "'maskin' is not a notebook; did you mean 'masking'?"),
        ("xyzzy", "'xyzzy' is not a notebook; there are stacked, intermediate_outputs, masking"),
    ],
)
def test_an_unknown_notebook_is_refused_with_the_nearest_name(capsys, command, name, hint):
    assert main([command, name]) == 2
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("command", ["repro", "status", "backfill", "verify"])
def test_wrong_parameters_are_refused_by_each_command_that_relies_on_them(project, capsys, command):
    (project / "params.yaml").write_text("stacked: 3\n", encoding="utf-8")
    assert main([command]) == 1
    told = "params.yaml: stacked is 3; it must map names to values"
    assert capsys.readouterr().err == f"python -m notebook_pipeline: {told}\n"


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert "Usage: python -m notebook_pipeline" in told
    assert "Run all stages that have changed, in parallel." in told
