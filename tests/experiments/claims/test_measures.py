"""A claim's measure that no code keeps is found without a run."""

import ast
import shutil

import pytest

from experiments.claims import measures
from experiments.claims.measures import Measures
from tests.repository import ROOT

CODE = """
@for_each_model(c_below_moves=("Move of h", "1"))
def measure(model, x): ...
rows = {f"adding_error_depth_{depth}": error, "accuracy_next": 1.0}
found[f"recall_half_life_{ending}"] = half_life
name = f"bias_{bias:g}"
leads = {f"lead_on_{name.replace(' ', '_')}": lead for name in names}
names = [f"centered {name}" for name in ("ridge",)]
endings = ("trained",)
run.expect({"only_read": "< 1"})
"""


@pytest.mark.parametrize(
    ("measure", "kept"),
    [
        ("c_below_moves", True),
        ("c_below_move", False),
        ("accuracy_next", True),
        ("acuracy_next", False),
        ("adding_error_depth_2", True),
        ("adding_error_dpth_2", False),
        ("adding_error_depth_two", False),
        ("recall_half_life_trained", True),
        ("recall_half_life_traned", False),
        ("recall_half_life_bias_5", True),
        ("recall_half_life_bis_5", False),
        ("lead_on_centered_ridge", True),
        ("lead_on_centred_ridge", False),
        ("only_read", False),  # what is expected must be kept elsewhere
    ],
)
def test_a_measure_is_kept_under_its_exact_name(measure, kept):
    assert Measures([ast.parse(CODE)]).has(measure) is kept


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name in ("claims.yaml", "dvc.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("notebooks", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_claims_of_ours_have_measures_that_are_kept(root, capsys):
    assert measures.main() == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("written", "misspelt", "message"),
    [
        (
            "measure: alone_minus_stacked",
            "measure: alone_minus_staked",
            "claim 1: how_states_flow keeps no measure 'alone_minus_staked'; did you mean "
            "'alone_minus_stacked'?",
        ),
        (
            "1, adding_error_gru]",
            "1, adding_eror_gru]",
            "claim 12: memory keeps no measure 'adding_eror_gru'",
        ),
        (
            "notebook: cost",
            "notebook: costs",
            "claims.yaml: notebooks/NN_costs.ipynb: 0 found, not 1",
        ),
    ],
)
def test_a_misspelt_name_in_claims_yaml_is_told(root, capsys, written, misspelt, message):
    path = root / "claims.yaml"
    text = path.read_text(encoding="utf-8")
    assert written in text
    path.write_text(text.replace(written, misspelt, 1), encoding="utf-8")
    assert measures.main() > 0
    assert message in capsys.readouterr().err
