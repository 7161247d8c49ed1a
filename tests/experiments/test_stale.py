"""What a change makes DVC run again: the results that it decides, and the pages that show them."""

import networkx as nx
import pytest

from notebook_pipeline.stages.states import notebook_stages, open_repo
from tests.clone import Clone, make_clone

PAGES = {"pages", "claims", "index"}
SWEEP, SWEEP_PAGE = "sweep@depth_and_width", "sweep_page@depth_and_width"
EXPLORERS = {f"explorer@{name}" for name in ("stacked", "intermediate_outputs", "variable_length")}

NEW = "made_by_a_test"
"""A name that no data set of the checkout has."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A clone whose stages DVC takes for up to date, although none has run: outputs are made up."""
    path = make_clone(tmp_path_factory.mktemp("stale") / "lstm-states").path
    with open_repo(path) as repo:
        for out in (out for stage in repo.index.stages for out in stage.outs):
            file = path / out.def_path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(out.def_path, encoding="utf-8")
        repo.commit(force=True)
    assert stale(path) == set()
    return path


def stale(root):
    """The stages that a change has made stale by itself."""
    with open_repo(root) as repo:
        return set(repo.status())


def after(root, stages):
    """The stages that need what some stages make, at once or by way of others."""
    with open_repo(root) as repo:
        graph = repo.index.graph
        names = {stage: stage.addressing for stage in graph}
        chosen = [stage for stage, name in names.items() if name in stages]
        return {names[later] for stage in chosen for later in nx.ancestors(graph, stage)}


@pytest.fixture
def change(root):
    """Add to a file of the clone, which may be a new one, and put it back afterwards."""
    kept = {}

    def add(name):
        path = root / name
        kept[path] = path.read_bytes() if path.exists() else None
        path.write_bytes((kept[path] or b"") + b"\n")

    yield add
    for path, content in kept.items():
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "rerun"),
    [
        ("src/notebook_pipeline/reports/templates/report/index.html.j2", {*PAGES, SWEEP_PAGE}),
        ("src/notebook_pipeline/reports/page.py", {*PAGES, SWEEP_PAGE}),
        ("src/notebook_pipeline/sweeps/sweep.html.j2", {SWEEP_PAGE, "index"}),
        ("src/experiments/swept/scores.py", {SWEEP_PAGE, "index"}),
        ("src/experiments/swept/configurations.py", {SWEEP, "index"}),
        ("src/notebook_pipeline/cluster/client.py", set()),
        ("src/notebook_pipeline/parameters/cell.py", PAGES),
        ("src/lstm_explorer/page.js", EXPLORERS),
        ("src/experiments/explorer.py", EXPLORERS),
        ("src/experiments/index/index.html.j2", {"index"}),
        ("src/experiments/claims/claims.html.j2", {"claims"}),
        ("src/notebook_pipeline/run/runner.py", set()),
        ("src/notebook_pipeline/cli.py", set()),
        ("src/notebook_pipeline/commands.py", set()),
        ("src/notebook_pipeline/system/lock.py", set()),
        ("src/notebook_pipeline/mlflow_runs/store.py", set()),
        ("src/experiments/cli.py", set()),
        ("src/experiments/parameters.py", set()),
        ("src/experiments/project.py", set()),
        ("src/pyproject.toml", set()),
        ("pyproject.toml", set()),
    ],
)
def test_the_engine_makes_no_notebook_run_again(root, change, file, rerun):
    change(file)
    assert stale(root) == rerun


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's own use
@pytest.mark.parametrize("file", ["figures.py", "settings.py", "words.py"])
def test_an_experiments_file_makes_that_experiment_run_again_and_the_pages(root, change, file):
    change(f"src/experiments/depth/{file}")
    assert stale(root) == {"depth"}
    assert after(root, {"depth"}) == PAGES


@pytest.mark.parametrize(
    "file",
    [
        "src/lstm_states/traces/record.py",
        "src/experiments/shared/evidence.py",
        "src/experiments/data/schema.py",
        "src/notebook_pipeline/reports/canonical.py",
        "requirements.lock",
    ],
)
def test_what_decides_all_results_makes_all_run_again(root, change, file):
    change(file)
    assert stale(root) >= set(notebook_stages(root).values())


@pytest.mark.parametrize(
    ("section", "change_of", "rerun"),
    [
        (
            "variable_length",
            {"epochs": 50},
            {
                "experiment@variable_length",
                "explorer@variable_length",
                "masking",
                "index",
                SWEEP,
                SWEEP_PAGE,
            },
        ),
        (
            "intermediate_outputs",
            {"epochs": 3},
            {
                "experiment@intermediate_outputs",
                "explorer@intermediate_outputs",
                "how_states_flow",
                "index",
            },
        ),
        ("cost", {"rounds": 33}, {"cost"}),
    ],
)
def test_a_parameter_makes_run_again_what_uses_it(root, change, section, change_of, rerun):
    change("params.yaml")
    Clone(root).set_parameters({section: change_of})
    assert stale(root) == rerun


def test_a_new_data_set_makes_its_own_stage_run_alone(root, change):
    """As docs/own-experiment.md makes one: a kind of its own, and a section of params.yaml."""
    change(f"src/experiments/data/{NEW}.py")
    assert stale(root) == set()
    change("params.yaml")
    made = {"maker": NEW, "source": "data/sources.yaml"}
    Clone(root).set_parameters({"datasets": {NEW: made}})
    assert stale(root) == {f"prepare@{NEW}"}


def test_a_kind_of_data_set_decides_its_own_data(root, change):
    change("src/experiments/data/order_book.py")
    assert stale(root) == {"prepare@order_book"}
