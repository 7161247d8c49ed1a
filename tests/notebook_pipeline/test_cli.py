"""Names on the command line."""

import pytest

from notebook_pipeline.cli import main
from tests.toy_clone import make_stages

NAMES = ("stacked", "intermediate_outputs", "masking")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A project that has notebooks of these names, as far as its dvc.yaml tells."""
    monkeypatch.chdir(make_stages(tmp_path, NAMES))


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


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert "Usage: python -m notebook_pipeline" in told
    assert "Run all stages that have changed, in parallel." in told
