"""The reports of the full pipeline, where it has run: they say what metrics.json says."""

import json
from fnmatch import fnmatchcase
from html.parser import HTMLParser

import mlflow
import pytest
from bs4 import BeautifulSoup

from experiments.claims.rules import load_ledger
from experiments.forecasting.settings import SECTIONS as CONFIGURATIONS
from experiments.shared.scores import METRICS
from lstm_states import check_traces, open_traces
from notebook_pipeline import mlflow_runs
from notebook_pipeline.departures import departures_in_words, expectations_of_all
from notebook_pipeline.stages.points import numbers_of
from notebook_pipeline.stages.states import notebook_stages
from notebook_pipeline.verification.differences import flattened
from notebook_pipeline.verification.tolerances import load_tolerances
from tests.repository import ROOT, as_committed, committed

pytestmark = pytest.mark.skipif(
    not (ROOT / "reports/index.html").is_file(), reason="`make repro` has not run here"
)

OWN_RUN = pytest.mark.skipif(
    not as_committed("params.yaml", "notebooks", "reports"),
    reason="the results here are not those that the repository comes with",
)
"""Another machine, other data or seeds may come out otherwise: that is told, and is no fault."""

OWN_PARAMETERS = pytest.mark.skipif(
    not as_committed("params.yaml"), reason="params.yaml is not what the repository comes with"
)


class Text(HTMLParser):
    """Collect the text of a page."""

    def __init__(self):
        super().__init__()
        self.text = ""

    def handle_data(self, data):
        self.text += data


def text_of(path):
    parser = Text()
    parser.feed(path.read_text(encoding="utf-8"))
    return " ".join(parser.text.split())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_report_and_index_say_what_metrics_json_says(name):
    folder = ROOT / "reports" / name
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    metric = next(iter(metrics["test"]))
    report, index = text_of(folder / "report.html"), text_of(ROOT / "reports/index.html")
    assert f"on the test part: {metrics['test'][metric]:.3f}" in report
    assert f"{metrics['test'][metric]:.3f}" in index
    for baseline, scores in metrics["baselines"].items():
        assert baseline.replace("_", " ") in report
        assert f"{scores[metric]:.3f}" in report
        assert f"{baseline.replace('_', ' ')} {scores[metric]:.3f}" in index


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_answer_that_opens_the_report_is_that_of_its_metrics(name):
    folder = ROOT / "reports" / name
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    metric = next(iter(metrics["test"]))
    answer = text_of(folder / "report.html").split("Answer.")[1]
    assert f"{METRICS[metric]} {metrics['test'][metric]:.3f} on the test part" in answer
    for baseline, scores in metrics["baselines"].items():
        score = f"{scores[metric]:.3f}".replace("-", "−")
        assert f"{score} for {baseline.replace('_', ' ')}" in answer


@OWN_RUN
def test_the_pipeline_bears_out_what_is_expected_of_it_but_for_costs():
    """Of costs alone the machine may think otherwise."""
    found = expectations_of_all(ROOT, notebook_stages(ROOT))
    assert set(found) == set(notebook_stages(ROOT))
    assert departures_in_words({n: kept for n, kept in found.items() if n != "cost"}) == []


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_readme_quotes_result_and_strongest_baseline(name):
    metrics = json.loads(committed(f"reports/{name}/metrics.json"))
    metric = next(iter(metrics["test"]))
    lines = committed("README.md").splitlines()
    [row] = [line for line in lines if line.startswith(f"| `{name}`")]
    _, _, _, result, baseline, *_ = (cell.strip() for cell in row.split("|"))
    best = max(metrics["baselines"], key=lambda key: metrics["baselines"][key][metric])
    assert result.startswith(METRICS[metric])
    assert float(result.split()[-1]) == pytest.approx(metrics["test"][metric], abs=0.01)
    assert baseline.startswith(best.replace("_", " "))
    expected = metrics["baselines"][best][metric]
    assert float(baseline.split()[-1]) == pytest.approx(expected, abs=0.01)


@OWN_PARAMETERS
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_stored_states_obey_the_equations(name):
    residuals = check_traces(open_traces(ROOT / "reports" / name / "states.zarr"))
    assert list(residuals["layer"].values) == ["lstm", "lstm_1"]
    assert max(float(residuals[key].max()) for key in residuals) < 1e-5


@OWN_PARAMETERS
def test_every_claim_was_measured_and_is_decided_or_says_why():
    rows = json.loads((ROOT / "reports/claims.json").read_text(encoding="utf-8"))
    assert {row["id"] for row in rows} == set(load_ledger(ROOT / "claims.yaml").claims)
    unmeasured = [t["measure"] for row in rows for t in row["tests"] if not t["values"]]
    assert unmeasured == []
    assert [
        row["id"] for row in rows if (row["verdict"] == "undecided") != bool(row["reason"])
    ] == []
    trained = [row for row in rows if row["training"]]
    few = [t["measure"] for row in trained for t in row["tests"] if len(t["values"]) < 5]
    assert few == []


@OWN_PARAMETERS
def test_what_others_found_has_ours_beside_it():
    rows = json.loads((ROOT / "reports/claims.json").read_text(encoding="utf-8"))
    published = [entry for row in rows for entry in row["published"]]
    assert published
    assert [e["beside"] for e in published if len(e["ours"]) != len(e["beside"])] == []


@OWN_PARAMETERS
def test_every_claim_has_a_figure_and_links_to_a_cell():
    page = BeautifulSoup((ROOT / "reports/claims.html").read_text(encoding="utf-8"), "html.parser")
    folder = ROOT / "reports"
    shown = {image.find_previous("h3")["id"]: image["src"] for image in page.find_all("img")}
    assert len(shown) == len(load_ledger(ROOT / "claims.yaml").claims)
    assert [src for src in shown.values() if not (folder / src).is_file()] == []
    for link in page.select("td a[href*='#cell-']"):
        report, _, cell = link["href"].partition("#")
        assert f'id="{cell}"' in (folder / report).read_text(encoding="utf-8")


def test_mlflow_holds_a_finished_run_of_each():
    client = mlflow.MlflowClient(mlflow_runs.store_uri(ROOT))
    experiment = client.get_experiment_by_name("lstm-states")
    runs = client.search_runs([experiment.experiment_id], "status = 'FINISHED'")
    assert {run.data.tags["configuration"] for run in runs} >= set(CONFIGURATIONS)


def metrics_here():
    """Names and values of all metrics of the full pipeline."""
    for path in sorted((ROOT / "reports").glob("*/*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if path.name == "evidence.json":
            found = {measure: kept["values"] for measure, kept in found.items()}
        if path.name == "points.json":
            found = numbers_of(found)
        if path.name in ("evidence.json", "metrics.json", "points.json"):
            yield from ((f"{path.parent.name}.{key}", value) for key, value in flattened(found))


@OWN_PARAMETERS
def test_every_metric_has_a_tolerance_and_every_tolerance_a_metric():
    *patterns, default = load_tolerances(ROOT / "tolerances.yaml").metrics
    assert default == "*"
    names = [name for name, _ in metrics_here()]
    assert len(names) > 1000
    first = {n: next((p for p in patterns if fnmatchcase(n, p)), default) for n in names}
    # The default is for experiments about which tolerances.yaml says nothing at all.
    described = {pattern.partition(".")[0] for pattern in patterns}
    undescribed = {name.partition(".")[0] for name, pattern in first.items() if pattern == default}
    assert not undescribed & described
    assert set(first.values()) - {default} == set(patterns)


def test_every_tolerance_refuses_what_is_far_off():
    read = load_tolerances(ROOT / "tolerances.yaml")
    for name, value in metrics_here():
        tolerance = read.of(name)
        allowed = [tolerance.allows(value, far) for far in (value + 1, 20 * value)]
        assert tolerance.verdict or not all(allowed), name
