"""What settings of a person's own can't change in this repository's stages."""

import pytest

from experiments.project import PROJECT
from notebook_pipeline.stages.provenance import read_run
from notebook_pipeline.system.environment import stage_environment
from tests.repository import ROOT

HOSTILE = {
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTRAOP_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
}
"""Each changes, or may change, what Keras and TensorFlow compute."""

SETTINGS = (
    '{"floatx": "float64", "epsilon": 0.001, "backend": "tensorflow", '
    '"image_data_format": "channels_first"}'
)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_variable_of_keras_reaches_a_stage(name):
    plain = stage_environment({"PATH": "/bin"}, ROOT, PROJECT)
    assert stage_environment({"PATH": "/bin", name: HOSTILE[name]}, ROOT, PROJECT) == plain


@pytest.mark.slow
def test_a_notebook_computes_the_same_whatever_keras_is_told(clone, tmp_path, monkeypatch):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text(SETTINGS, encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, text in HOSTILE.items():
        monkeypatch.setenv(name, text)
    folder = clone.path / "reports/variable_length"
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "run.json"}
    key = read_run(folder)["key"]
    told = clone.run("lstm-states", "run", "variable_length")
    assert "removed reports/variable_length/explorer.html, of the run before" in told
    clone.run("lstm-states", "explorer", "variable_length")  # a stage of its own
    assert read_run(folder)["key"] == key
    assert {path: path.read_bytes() for path in before} == before
