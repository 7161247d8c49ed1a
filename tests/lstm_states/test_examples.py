import runpy

import numpy as np

from lstm_states.cells import QUANTITIES
from tests.repository import ROOT


def test_the_example_of_the_readme_runs(capsys):
    ran = runpy.run_path(str(ROOT / "docs/examples/any_model.py"))
    assert {node.path for node in ran["traces"].leaves} == {
        "/both/forward",
        "/both/backward",
        "/top",
    }
    assert set(QUANTITIES) < set(ran["traces"]["both/backward"].data_vars)
    printed = capsys.readouterr().out
    assert "layer_output" in printed
    mean = ran["traces"]["both/backward/forget_gate"].mean(["sample", "unit"])
    assert f"{float(mean[0]):.4f}"[:4] in printed
    np.testing.assert_array_less(ran["traces"]["top"].attrs["layer_output_error"], 1e-5)
