"""What stages are made from, as dvc.lock tells it."""

from notebook_pipeline.stages.states import locked_inputs

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
