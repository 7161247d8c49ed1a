"""Tables of one's own run through the whole pipeline."""

import json

import numpy as np
import pytest
import yaml

from tests.clone import make_clone, set_defaults


def machines():
    """Forty sequences of 3 to 7 rows; the target is the sum of all their numbers."""
    rng = np.random.default_rng(0)
    lines = ["machine,t,a,b,sum"]
    for machine in range(40):
        rows = rng.normal(size=(rng.integers(3, 8), 2))
        lines += [
            f"{machine},{t},{a:.4f},{b:.4f},{rows.sum():.4f}" for t, (a, b) in enumerate(rows)
        ]
    return "\n".join(lines) + "\n"


def with_own_tables(path):
    """A clone whose stacks learn from the worked example of docs/own-data.md, and from machines."""
    own = make_clone(path)
    path = own.path / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    example = (own.path / "docs/own-data.md").read_text(encoding="utf-8")
    params["datasets"] |= yaml.safe_load(example.split("```yaml\n")[1].split("```")[0])["datasets"]
    params["stacked"] |= {"dataset": "pendulum", "target": "angle_next"}
    (own.path / "data/machines.csv").write_text(machines(), encoding="utf-8")
    params["datasets"]["machines"] = {
        "maker": "table", "source": "data/machines.csv", "series": "machine", "time": "t",
        "features": ["a", "b"], "target": "sum",
    }  # fmt: skip
    params["variable_length"] |= {
        "dataset": "machines", "target": "sum", "mask_value": -9.0, "head_units": 1,
        "head_activation": None, "loss": "mse",
    }  # fmt: skip
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    for notebook, name in (("01_stacked", "stacked"), ("03_variable_length", "variable_length")):
        set_defaults(own.path / f"notebooks/{notebook}.ipynb", params[name])
    return own


def check_results(own, names):
    sequences, series = (
        json.loads((own.path / "reports" / name / "metrics.json").read_text(encoding="utf-8"))
        for name in ("variable_length", "stacked")
    )
    assert set(sequences["baselines"]) == {"mean", "ridge"}
    assert series["baselines"]["ridge"]["r2"] > 0.9
    assert "persistence" in series["baselines"]
    for name in names:
        report = (own.path / "reports" / name / "report.ipynb").read_text(encoding="utf-8")
        assert "order book" not in report.lower(), name


@pytest.mark.slow
def test_the_stacks_learn_from_your_own_tables(tmp_path):
    own = with_own_tables(tmp_path / "own")
    own.run("dvc", "repro", "experiment@stacked", "experiment@variable_length")
    check_results(own, ["stacked"])


@pytest.mark.slow
@pytest.mark.nightly
def test_your_own_tables_run_through_the_whole_pipeline(tmp_path):
    own = with_own_tables(tmp_path / "own")
    told = own.run("lstm-states", "repro")
    assert "measures depart from the committed runs" in told
    check_results(own, ["stacked", "how_states_flow", "memory", "depth", "carrying_state"])
    claims = json.loads((own.path / "reports/claims.json").read_text(encoding="utf-8"))
    assert "order_book" in claims[25]["reason"]  # which that claim is about, and pendulum isn't
