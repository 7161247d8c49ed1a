"""The ledger: verdicts in JSON and on a page, from evidence that notebooks kept."""

import json
import shutil

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_notebook

from experiments.claims.page import write_claims
from experiments.claims.rules import load_ledger
from experiments.forecasting.settings import SECTIONS as CONFIGURATIONS
from experiments.parameters import SECTIONS
from notebook_pipeline import cli
from notebook_pipeline.errors import OutputsError
from notebook_pipeline.reports.missing import Missing
from tests.repository import ROOT

TRIALS = sorted(SECTIONS.keys() - CONFIGURATIONS)


def kept(**values):
    about = {"says": "What moved", "unit": "1", "figure": "figures/rises.png", "execution_count": 3}
    return {name: {**about, "values": found} for name, found in values.items()}


@pytest.fixture
def root(tmp_path):
    """A repository in which the trial measured a few things."""
    for name in ("claims.yaml", "dvc.yaml", "params.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("notebooks", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\nno_scm = true\n", encoding="utf-8")
    folder = tmp_path / "reports/how_states_flow"
    folder.mkdir(parents=True)
    evidence = kept(
        c_below_moves={"trained": 1e-16, "seed 0": 0.0},
        numbers_per_unit={"trained": 1.0, "seed 0": 1.0},
        carried_minus_whole={"trained": 0.0},
        h_alone_minus_whole={"trained": 0.4},
        c_alone_minus_whole={"trained": 0.2},
        runs_as_printed={"Keras": 0.0},
        runs_with_sizes={"Keras": 1.0},
        c_zeroed_moves_own_future={"trained": 0.5, "seed 0": 0.0},
        c_zeroed_moves_below={"trained": 0.0, "seed 0": 0.0},
    )
    (folder / "evidence.json").write_text(json.dumps(evidence), encoding="utf-8")
    leads = kept(
        lead_on_persistence={"seed 0": 0.1, "seed 1": 0.2},
        lead_on_centered_ridge={"seed 0": 0.1, "seed 1": -0.1},
    )
    other = tmp_path / "reports/stacked"
    other.mkdir()
    (other / "evidence.json").write_text(json.dumps(leads), encoding="utf-8")
    cells = [new_code_cell("a", execution_count=2, id="two"),
             new_code_cell("b", execution_count=3, id="three")]  # fmt: skip
    empty = [tmp_path / "reports" / name for name in TRIALS if name != "how_states_flow"]
    for place in empty:
        place.mkdir()
        (place / "evidence.json").write_text("{}", encoding="utf-8")
    for place in (folder, *empty):
        nbformat.write(new_notebook(cells=cells), place / "report.ipynb")
    write_stacked(tmp_path, "order_book", cells)
    return tmp_path


def write_stacked(root, dataset, cells):
    """Write the report of a run on ``dataset``."""
    parameters = new_code_cell(f"dataset = {dataset!r}", metadata={"tags": ["parameters"]})
    path = root / "reports/stacked/report.ipynb"
    nbformat.write(new_notebook(cells=[parameters, *cells]), path)


def test_verdicts_follow_from_the_evidence(root):
    page = write_claims(root).read_text(encoding="utf-8")
    rows = {
        row["id"]: row
        for row in json.loads((root / "reports/claims.json").read_text(encoding="utf-8"))
    }
    assert list(rows) == list(load_ledger(ROOT / "claims.yaml").claims)
    found = {number: rows[number]["verdict"] for number in (4, 10, 11, 13, 16, 26)}
    assert found == {
        4: "refuted", 10: "undecided", 11: "undecided", 13: "supported", 16: "depends",
        26: "undecided",
    }  # fmt: skip
    assert rows[10]["reason"] == "c_zeroed_moves_own_future is > 1e-3 in 1 of 2"
    assert rows[11]["reason"].startswith("recall_half_life_bias_0 was not measured")
    first = rows[4]["tests"][1]
    assert first["cell"] == "three"
    assert first["values"] == {"trained": 1e-16, "seed 0": 0.0}
    assert first["holds"] == "> 1e-3"
    assert 'href="how_states_flow/report.html#cell-three"' in page
    assert "0 to 1e-16" in page
    assert first["figure"] == "figures/rises.png"
    assert rows[4]["stage"] == "how_states_flow"
    assert rows[26]["stage"] == "experiment@stacked"
    assert "with the sizes defined" in page


OWN = {
    "section": "own", "claim": "States move.", "notebook": "how_states_flow", "training": False,
    "version": 1,
    "tests": [{"measure": "h_alone_minus_whole", "holds": "> 0.1", "because": "Less is little."}],
}  # fmt: skip


def test_a_claim_of_ones_own_is_not_the_articles(root):
    path = root / "claims.yaml"
    claims = yaml.safe_load(path.read_text(encoding="utf-8"))["claims"]
    article = {number: claim for number, claim in claims.items() if claim["section"] != "own"}
    found = []
    for ledger in (article, article | {len(article) + 1: OWN}):
        path.write_text(yaml.safe_dump({"claims": ledger}), encoding="utf-8")
        soup = BeautifulSoup(write_claims(root).read_text(encoding="utf-8"), "html.parser")
        found.append([" ".join(p.get_text().split()) for p in soup.select("main > p")])
    [words] = [text for text in found[0] if text.startswith("An article of this name")]
    assert f"makes {len(article)} claims" in words
    assert words in found[1]  # with as many of each verdict
    assert not any("(own)" in text for text in found[0])
    [apart] = [text for text in found[1] if "(own)" in text]
    assert apart.endswith("decide them: 1 supported.")
    marked = [mark.get_text() for mark in soup.select("h3, .summary td") if "(own)" in mark.text]
    assert [" ".join(text.split()) for text in marked] == [
        "States move. (own)", f"{len(article) + 1}. States move. (own) supported"
    ]  # fmt: skip


def test_a_figure_that_claims_share_gives_way_to_one_of_the_rule(root):
    path = root / "reports/how_states_flow/evidence.json"
    evidence = json.loads(path.read_text(encoding="utf-8"))
    evidence["c_zeroed_moves_own_future"]["figure"] = "figures/zeroed.png"
    evidence["c_zeroed_moves_below"]["figure"] = "figures/zeroed.png"
    path.write_text(json.dumps(evidence), encoding="utf-8")
    soup = BeautifulSoup(write_claims(root).read_text(encoding="utf-8"), "html.parser")
    shown = {
        heading["id"]: found["src"]
        for heading in soup.select("h3[id]")
        if (found := heading.find_next("img")) and found.find_previous("h3") is heading
    }
    assert shown["claim-10"] == "how_states_flow/figures/zeroed.png"
    assert shown["claim-4"] == "claims/claim_04.png"
    assert (root / "reports/claims/claim_04.png").is_file()
    assert "claim-1" not in shown  # not measured
    assert set(shown) == {f"claim-{number}" for number in (4, 6, 10, 13, 16, 17, 26)}


def test_the_answer_stands_on_verdicts_and_goes_with_them(root):
    page = write_claims(root).read_text(encoding="utf-8")
    assert "c never leaves its layer" in page
    assert "2 of the usual sentences" in page  # claims 3, 10 and others are open
    path = root / "reports/how_states_flow/evidence.json"
    evidence = json.loads(path.read_text(encoding="utf-8"))
    evidence["c_below_moves"]["values"] = {"trained": 0.3}
    path.write_text(json.dumps(evidence), encoding="utf-8")
    page = write_claims(root).read_text(encoding="utf-8")
    assert "c never leaves its layer" not in page
    assert "3 of the usual sentences" in page


def test_what_others_found_stands_beside_ours(root):
    (root / "reports/memory/evidence.json").write_text(
        json.dumps(kept(adding_error_gru={"seed 0": 0.02, "seed 1": 0.04})), encoding="utf-8"
    )
    page = write_claims(root).read_text(encoding="utf-8")
    rows = json.loads((root / "reports/claims.json").read_text(encoding="utf-8"))
    [published] = rows[11]["published"]
    assert published["source"].startswith("Jozefowicz")
    assert [ours["values"] for ours in published["ours"]] == [{"seed 0": 0.02, "seed 1": 0.04}]
    assert "0.02 to 0.04" in page
    assert page.index("Jozefowicz") < page.index("0.02 to 0.04")
    assert rows[11]["verdict"] == "undecided"


def test_other_evidence_gives_another_verdict(root):
    path = root / "reports/how_states_flow/evidence.json"
    evidence = json.loads(path.read_text(encoding="utf-8"))
    for name, value in (("c_below_moves", 0.3), ("numbers_per_unit", 2.0)):
        evidence[name]["values"] = {"trained": value}
    path.write_text(json.dumps(evidence), encoding="utf-8")
    write_claims(root)
    rows = json.loads((root / "reports/claims.json").read_text(encoding="utf-8"))
    assert rows[3]["verdict"] == "supported"


def test_a_claim_about_data_of_one_kind_does_not_apply_to_others(root):
    cells = nbformat.read(root / "reports/stacked/report.ipynb", as_version=4).cells[1:]
    write_stacked(root, "machines", cells)
    page = write_claims(root).read_text(encoding="utf-8")
    row = json.loads((root / "reports/claims.json").read_text(encoding="utf-8"))[25]
    assert row["verdict"] == "undecided"
    assert row["reason"] == "it is about order_book, but stacked ran on machines"
    assert {test["outcome"] for test in row["tests"]} == {"open"}
    assert f"Not decided: {row['reason']}." in page


def test_missing_evidence_is_named(root):
    (root / "reports/how_states_flow/evidence.json").unlink()
    says = r"evidence\.json is missing; `dvc repro how_states_flow` makes it"
    with pytest.raises(OutputsError, match=says):
        write_claims(root)


def test_a_page_without_a_trial_says_so_and_shows_nothing_of_it(root):
    page = root / "reports/claims.html"
    write_claims(root)
    kept = root / "kept"
    kept.hardlink_to(page)  # as DVC's cache
    text = kept.read_bytes()
    (root / "reports/claims/claim_04.png").rename(root / "kept.png")
    (root / "reports/claims/claim_04.png").hardlink_to(root / "kept.png")
    picture = (root / "kept.png").read_bytes()
    gone = Missing(
        "how_states_flow", "failed", {"an <older> report": "how_states_flow/report.html"}
    )
    write_claims(root, [gone])
    assert kept.read_bytes() == text
    assert (root / "kept.png").read_bytes() == picture
    assert not (root / "reports/claims/claim_04.png").exists()
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    [item] = soup.select("ul.missing li")
    assert item.get_text() == "how_states_flow failed: an <older> report"
    assert item.a["href"] == "how_states_flow/report.html"
    rows = json.loads((root / "reports/claims.json").read_text(encoding="utf-8"))
    assert {row["verdict"] for row in rows} == {"undecided"}
    [heading] = [h for h in soup.select("h2") if h.get_text() == "how_states_flow"]
    assert heading.find_next("p").get_text() == "Not measured in this run."


def test_a_wrong_rule_is_told_in_a_line(root, monkeypatch, capsys):
    path = root / "claims.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace('holds: "> 1e-3"', 'holds: "much"', 1),
        encoding="utf-8",
    )
    monkeypatch.chdir(root)
    monkeypatch.setenv("DVC_STAGE", "claims")
    assert cli.main(["claims"]) == 1
    assert "claims.1.tests.0.holds: 'much' is no condition" in capsys.readouterr().err
