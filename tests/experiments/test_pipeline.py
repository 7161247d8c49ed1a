"""The whole pipeline in a clone with small parameters: DVC's own commands, as users type them."""

import filecmp
import json
import shutil

import pytest

from tests.clone import Clone

pytestmark = pytest.mark.slow

CONFIGURATIONS = ("stacked", "intermediate_outputs", "variable_length")


def test_it_leaves_reports_metrics_weights_and_traces(clone):
    for name in CONFIGURATIONS:
        folder = clone.path / "reports" / name
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        assert len(metrics["baselines"]) >= 2
        page = (folder / "report.html").read_text(encoding="utf-8")
        metric = next(iter(metrics["test"]))
        assert f"on the test part: {metrics['test'][metric]:.3f}" in page
        assert (folder / "model/model.weights.h5").is_file()
        assert (folder / "states.zarr/zarr.json").is_file()
        # Nothing that warns or logs is left for readers to wade through.
        notebook = json.loads((folder / "report.ipynb").read_text(encoding="utf-8"))
        streams = [o for c in notebook["cells"] for o in c.get("outputs", ()) if "name" in o]
        assert streams == []
    index = (clone.path / "reports/index.html").read_text(encoding="utf-8")
    assert all(f"{name}/report.html" in index for name in CONFIGURATIONS)


def test_it_decides_claims_from_what_the_trial_measured(clone):
    rows = {
        r["id"]: r
        for r in json.loads((clone.path / "reports/claims.json").read_text(encoding="utf-8"))
    }
    decided = {
        n: rows[n]["verdict"] for n in (1, 3, 4, 5, 6, 7, 8, 10, 13, 15, 16, 17, 18, 20, 21, 23, 24)
    }
    assert "undecided" not in decided.values()
    assert decided[4] == decided[6] == decided[17] == "refuted"
    page = (clone.path / "reports/claims.html").read_text(encoding="utf-8")
    report = (clone.path / "reports/how_states_flow/report.html").read_text(encoding="utf-8")
    for test in rows[4]["tests"]:
        assert f"report.html#cell-{test['cell']}" in page
        assert f'id="cell-{test["cell"]}"' in report
        assert (clone.path / "reports/how_states_flow" / test["figure"]).is_file()
    notebook = json.loads(
        (clone.path / "reports/how_states_flow/report.ipynb").read_text(encoding="utf-8")
    )
    assert not [o for c in notebook["cells"] for o in c.get("outputs", ()) if "name" in o]


def test_it_sweeps_and_shows_the_answer(clone):
    folder = clone.path / "reports/depth_and_width"
    rows = json.loads((folder / "points.json").read_text(encoding="utf-8"))["rows"]
    assert [row["given"] for row in rows] == [{"depth": d, "width": 4} for d in (1, 2)]
    assert rows[0]["metrics"]["weights"] == [4 * 4 * (12 + 4 + 1) + 9 * 5] * 2
    page = (folder / "sweep.html").read_text(encoding="utf-8")
    assert "most frequent 0.084" in page
    index = (clone.path / "reports/index.html").read_text(encoding="utf-8")
    assert '<a href="depth_and_width/sweep.html">How deep is deep enough here?</a>' in index


A_POINT = """
import json
from experiments.swept.configurations import train_variable_length
from experiments.swept.settings import UNREAD
from notebook_pipeline import load_parameters
own = load_parameters().variable_length
print(json.dumps(train_variable_length(own.model_dump(exclude=set(UNREAD)), own.seeds[0], ".")))
"""


def test_a_point_is_trained_as_the_notebook_trains(clone):
    point = json.loads(clone.run("python", "-W", "ignore", "-c", A_POINT).splitlines()[-1])
    path = clone.path / "reports/variable_length/metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    assert point["score"] == pytest.approx(metrics["test"]["accuracy"], abs=1e-3)
    assert point["loss"] == pytest.approx(metrics["validation"]["kept_loss"], rel=1e-4)


@pytest.mark.nightly
def test_each_configuration_gives_the_same_metrics_without_the_kernel(clone, tmp_path):
    shutil.copytree(clone.path, tmp_path / "stock", symlinks=True)
    stock = Clone(tmp_path / "stock")
    learning = stock.path / "src/experiments/shared/learning.py"
    accelerated = learning.read_text(encoding="utf-8")
    assert accelerated.count("        accelerate(model)\n") == 1
    learning.write_text(accelerated.replace("        accelerate(model)\n", ""), encoding="utf-8")
    same = []
    for name in CONFIGURATIONS:
        stock.run("lstm-states", "run", name)
        ours, expected = (
            json.loads((one.path / "reports" / name / "metrics.json").read_text(encoding="utf-8"))
            for one in (clone, stock)
        )
        for part in ("test", "validation"):
            assert ours[part] == pytest.approx(expected[part], rel=1e-3, abs=1e-3), name
        weights = f"reports/{name}/model/model.weights.h5"
        same.append(filecmp.cmp(clone.path / weights, stock.path / weights, shallow=False))
    assert not any(same)  # equal to rounding only: it was another kernel


def test_a_second_repro_does_nothing(clone):
    assert "up to date" in clone.run("dvc", "repro")


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("stacked", {"target": "mid_moves"}, "stacked.target is 'mid_moves'; did you mean 'mid_"),
        ("stacked", {"dataset": "japanese_vowels"}, "holds sequences; it needs a data set of seri"),
        (
            "variable_length",
            {"head_units": 3},
            "head_units is 3; speaker has 9 classes, and ",
        ),
    ],
)
def test_what_the_data_does_not_hold_is_refused(clone, section, change, message):
    kept = (clone.path / "params.yaml").read_text(encoding="utf-8")
    clone.set_parameters({section: change})
    printed = clone.run("lstm-states", "run", section, ok=False)
    (clone.path / "params.yaml").write_text(kept, encoding="utf-8")
    assert message in printed
    assert "Executing" not in printed


def test_a_parameter_reruns_its_configuration_alone(clone):
    kept = (clone.path / "params.yaml").read_text(encoding="utf-8")
    clone.set_parameters({"stacked": {"learning_rate": 0.5}})
    planned = clone.run("dvc", "repro", "--dry")
    difference = clone.run("dvc", "params", "diff", "--json")
    (clone.path / "params.yaml").write_text(kept, encoding="utf-8")
    assert "experiment@stacked" in planned
    assert "index" in planned
    assert "Running stage 'experiment@intermediate_outputs'" not in planned
    assert "Running stage 'experiment@variable_length'" not in planned
    assert json.loads(difference)["params.yaml"]["stacked.learning_rate"]["new"] == 0.5


def test_dvc_shows_the_graph_the_metrics_and_the_plots(clone):
    assert "experiment@stacked" in clone.run("dvc", "dag")
    shown = json.loads(clone.run("dvc", "metrics", "show", "--json"))
    files = shown["workspace"]["data"] if "workspace" in shown else shown[""]["data"]
    assert set(files) == {f"reports/{name}/metrics.json" for name in CONFIGURATIONS}
    clone.run("dvc", "plots", "show", "--out", "dvc_plots")
    page = (clone.path / "dvc_plots/index.html").read_text(encoding="utf-8")
    shutil.rmtree(clone.path / "dvc_plots")
    assert "val_loss" in page
    assert "Confusion" in page


def test_an_experiment_is_run_compared_and_undone(clone):
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--allow-empty", "--message", "results")
    before = (clone.path / "reports/variable_length/metrics.json").read_text(encoding="utf-8")
    clone.run("dvc", "exp", "run", "-S", "variable_length.epochs=1", "experiment@variable_length")
    after = (clone.path / "reports/variable_length/metrics.json").read_text(encoding="utf-8")
    assert before != after
    changed = json.loads(clone.run("dvc", "metrics", "diff", "--json"))
    assert "reports/variable_length/metrics.json" in changed
    clone.run("git", "checkout", "--", ".")
    clone.run("dvc", "checkout")
    assert (clone.path / "reports/variable_length/metrics.json").read_text(
        encoding="utf-8"
    ) == before


def test_a_remote_hands_the_outputs_to_another_clone(clone, tmp_path):
    other = clone.pulled_into(tmp_path / "other", tmp_path / "remote")
    for name in ("stacked/report.html", "index.html"):
        path = f"reports/{name}"
        assert (other.path / path).read_bytes() == (clone.path / path).read_bytes()
    assert "up to date" in other.run("dvc", "repro", "--dry")


def test_an_experiment_with_a_wrong_parameter_is_refused_before_a_kernel_starts(clone):
    kept = (clone.path / "params.yaml").read_text(encoding="utf-8")
    change = "+stacked.learning_rte=0.1"
    printed = clone.run("dvc", "exp", "run", "-S", change, "experiment@stacked", ok=False)
    (clone.path / "params.yaml").write_text(kept, encoding="utf-8")
    clone.run("dvc", "repro")  # DVC takes outputs away before it runs a stage
    told = "stacked.learning_rte is not a parameter; did you mean 'learning_rate'?"
    assert f"lstm-states: params.yaml: {told}\n" in printed
    assert "Executing" not in printed
