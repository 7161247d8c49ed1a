"""Which stages run notebooks, and what stages are made from, as dvc.lock tells it."""

import pytest
import yaml

from notebook_pipeline.stages.states import locked_inputs, notebook_stages
from tests.toy_clone import make_stages

LOCK = """schema: '2.0'
stages:
  experiment@stacked:
    cmd: lstm-states run stacked
    deps:
    - path: notebooks/01_stacked.ipynb
      hash: md5
      md5: 0cc175b9c0f1b6a831c399e269772661
    params:
      params.yaml:
        stacked:
          learning_rate: 1e-05
          center: true
"""


def test_numbers_are_read_as_dvc_writes_them(tmp_path):
    (tmp_path / "dvc.lock").write_text(LOCK, encoding="utf-8")
    [state] = locked_inputs(tmp_path).values()
    assert state.flat_parameters == {"stacked.learning_rate": 0.00001, "stacked.center": True}


def test_without_a_lock_there_is_no_state(tmp_path):
    assert locked_inputs(tmp_path) == {}


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("python -m notebook_pipeline run train", ["train"]),
        ("uv run python3 -m notebook_pipeline run train", ["train"]),
        ("a.b run train", ["train"]),
        ("bin/a.b run train", ["train"]),
        ("uv run train", []),
        ("acb run train", []),
        ("a.b-other run train", []),
        ("other.a.b run train", []),
        ("a.b run train --fast", []),
    ],
)
def test_a_stage_runs_a_notebook_by_the_projects_command_alone(tmp_path, command, names):
    root = make_stages(tmp_path, [])
    table = '[tool.notebook_pipeline]\ncommand = "a.b"\n'
    (root / "pyproject.toml").write_text(table, encoding="utf-8")
    text = yaml.safe_dump({"stages": {"one": {"cmd": command}}})
    (root / "dvc.yaml").write_text(text, encoding="utf-8")
    assert list(notebook_stages(root)) == names
