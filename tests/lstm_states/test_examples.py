import runpy

import numpy as np

from lstm_states.cells import QUANTITIES
from tests.repository import ROOT, python_blocks


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


def run_page(name):
    """Run all examples of a page, one after the other, and return their names."""
    names = {}
    for block in python_blocks(name):
        exec(compile(block, f"docs/{name}", "exec"), names)
    return names


def test_the_page_of_measures_runs_as_it_stands():
    names = run_page("measures.md")
    assert abs(names["lives"].sel(layer="low").median() - 2.2) < 0.2  # as a comment says
    assert abs(names["found"]["selectivity"]) < 0.15
    assert names["idle"].sizes["pair"] == 1  # the last block ran


def test_the_page_of_the_explorer_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_page("explorer.md")
    assert {path.name for path in tmp_path.iterdir()} == {
        "states.html",
        "edited.html",
        "epochs.html",
    }
    assert "price" in names["page"].page


def test_the_page_of_the_inspection_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = run_page("inspect.md")
    assert "No trap found" not in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert names["found"].findings[0].rule == "mask_missing"
    text = (ROOT / "docs/inspect.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out in text  # what the page says that it prints


def test_the_page_of_interventions_runs_as_it_stands():
    names = run_page("interventions.md")
    assert len(names["steps"]) == 20  # the last block ran
    np.testing.assert_allclose(
        np.stack(names["steps"], 1),
        names["record_traces"](
            names["model"], names["x"], edits=[names["Edit"]("low", "cell", set=0.0, time=10)]
        )["outputs"],
        atol=1e-6,
    )
    assert names["slopes"]["low/cell"].shape == (4, 20, 8)
