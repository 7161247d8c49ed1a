"""`lstm-states new`: what it writes, what it refuses, and that it runs at once."""

import difflib
import json

import nbformat
import pytest
import yaml

from experiments import new
from experiments.new import make_experiment
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.reports import readable
from notebook_pipeline.stages.states import current_inputs, notebook_stages
from tests.clone import Clone, make_clone


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    """A clone in which nothing has run; a test puts back what it changes."""
    return make_clone(tmp_path_factory.mktemp("new") / "lstm-states")


@pytest.fixture
def root(clone):
    yield clone.path
    clone.run("git", "checkout", "--quiet", ".")
    clone.run(
        "git", "clean", "--quiet", "--force", "-dx", "notebooks", "src/experiments", "reports"
    )


def untouched(clone):
    return clone.run("git", "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My-own", "use lower-case letters, digits and _, starting with a letter"),
        ("2nd", "use lower-case letters, digits and _"),
        ("a" * 41, "at most 40"),
        ("", "use lower-case letters"),
        ("../mine", "use lower-case letters"),
        ("lambda", "it is a Python keyword"),
        ("datasets", "params.yaml reserves it"),
        ("copy", "params.yaml reserves it"),
        ("null", "params.yaml reserves it"),
        ("true", "it is a Python keyword"),
        ("fraction", "settings.py imports another Fraction"),
        ("depth", "src/experiments/depth exists already"),
        ("shared", "src/experiments/shared exists already"),
        ("cli", "src/experiments/cli.py exists already"),
        ("lstm_states", "src/lstm_states exists already"),
        ("stacked", "notebooks/01_stacked.ipynb exists already"),
        ("pages", "dvc.yaml has a stage with that name"),
        ("experiment", "dvc.yaml has a stage with that name"),
        ("interactive", "reports/interactive belongs to the pipeline"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(clone, root, name, message):
    with pytest.raises(ConfigError) as error:
        make_experiment(name, root)
    told = str(error.value)
    assert told.startswith(f"{name!r} can't be the name of an experiment: ")
    assert message in told
    assert "\n" not in told
    assert untouched(clone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"datasets": ["orderbook"]}, "no data set 'orderbook' in params.yaml; did you mean 'ord"),
        ({"dependencies": ["mine.csv"]}, "mine.csv isn't there, and no stage of dvc.yaml makes it"),
        ({"dependencies": ["../mine.csv"]}, "../mine.csv is not a path within the repository"),
        ({"dependencies": ["/etc/hosts"]}, "/etc/hosts is not a path within the repository"),
        ({"dependencies": ["reports"]}, "reports can't be read: reports/"),
        ({"dependencies": ["reports/claims.json"]}, "is made after all experiments"),
    ],
)
def test_what_it_depends_on_must_be_there(clone, root, options, message):
    with pytest.raises(ConfigError) as error:
        make_experiment("mine", root, **options)
    assert message in str(error.value)
    assert untouched(clone)


@pytest.mark.parametrize("file", ["params.yaml", "dvc.yaml"])
def test_a_merge_that_is_not_done_is_told_in_a_line(clone, root, file):
    path = root / file
    text = path.read_text(encoding="utf-8")
    path.write_text(f"<<<<<<< mine\n{text}=======\n>>>>>>> theirs\n", encoding="utf-8")
    printed = clone.run("lstm-states", "new", "mine", ok=False)
    assert printed.startswith("lstm-states: ")
    assert file in printed
    assert len(printed.splitlines()) == 1
    assert clone.run("git", "status", "--porcelain") == f" M {file}\n"


def test_a_name_may_be_a_word_of_the_templates(clone, root):
    for name in ("end", "example"):
        clone.run("lstm-states", "new", name)  # the second reads the settings of the first
        assert current_inputs(root, name)[name].parameters[name]["keep"] == 0.9


def test_a_second_call_is_refused(clone, root):
    make_experiment("mine", root)
    written = clone.run("git", "diff")
    with pytest.raises(ConfigError, match="src/experiments/mine exists already"):
        make_experiment("mine", root)
    assert clone.run("git", "diff") == written


@pytest.mark.parametrize("failing", range(5))
def test_nothing_half_written_is_left(clone, root, monkeypatch, failing):
    write, calls = new.replace_text, []

    def fail_once(path, text):
        calls.append(path)
        if len(calls) == failing + 1:
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(new, "replace_text", fail_once)
    with pytest.raises(KeyboardInterrupt):
        make_experiment("mine", root)
    assert untouched(clone)


def test_files_of_the_repository_are_added_to_and_nothing_else(clone, root):
    before = {
        name: (root / name).read_text(encoding="utf-8") for name in ("dvc.yaml", "params.yaml")
    }
    make_experiment("mine", root, datasets=["order_book"], dependencies=["reports/stacked/model"])
    clone.run("lstm-states", "new", "another")
    for name, text in before.items():
        now = (root / name).read_text(encoding="utf-8")
        changed = difflib.ndiff(text.splitlines(), now.splitlines())
        assert [line for line in changed if line.startswith("-")] == []
        assert "\n\n\n" not in now
        assert now.count("\n\n") == text.count("\n\n") + 2  # a section each, set apart
    assert sorted(path.name for path in (root / "notebooks").glob("*_mine.ipynb")) == [
        "09_mine.ipynb"
    ]
    assert (root / "notebooks/10_another.ipynb").is_file()
    written = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage in ("mine", "another", "pages", "claims", "index"):
        assert written[stage]["deps"] == sorted(written[stage]["deps"])
    stages = notebook_stages(root)
    assert list(stages)[-2:] == ["mine", "another"]
    state = current_inputs(root, "mine")["mine"]
    assert {"data/processed/order_book.zarr", "reports/stacked/model"} <= state.dependencies.keys()
    assert state.parameters == {"mine": {"keep": 0.9, "seeds": [0, 1, 2]}}


@pytest.mark.slow
def test_it_runs_at_once_and_is_everywhere(clone, root):
    """Of a repository where nothing else has run."""
    clone.run("lstm-states", "new", "mine")
    clone.run("dvc", "repro", "--single-item", "mine")
    evidence = json.loads((root / "reports/mine/evidence.json").read_text(encoding="utf-8"))
    assert evidence["half_life"]["values"] == {"seed 0": 7.0, "seed 1": 7.0, "seed 2": 7.0}
    clone.run("lstm-states", "pages")
    report = (root / "reports/mine/report.html").read_text(encoding="utf-8")
    assert "How long does a state that leaks" in report
    told = clone.run("lstm-states", "index", ok=False)  # it says what has not run
    assert "mine" not in told
    index = (root / "reports/index.html").read_text(encoding="utf-8")
    assert 'href="mine/report.html"' in index.partition("Other experiments</h2>")[2]
    assert "Half of a change is gone after 7 steps" in index
    experiment = clone.client().get_experiment_by_name("lstm-states").experiment_id
    runs = clone.client().search_runs([experiment])
    assert [run.data.tags["configuration"] for run in runs] == ["mine"]
    status = clone.run("lstm-states", "status", ok=False)
    [line] = [line for line in status.splitlines() if line.startswith("mine ")]
    assert "see below" not in line
    assert "all of them agree" in clone.run("lstm-states", "verify", "mine")
    clone.run("dvc", "exp", "run", "-S", "mine.seeds=[7]", "--single-item", "mine")
    evidence = json.loads((root / "reports/mine/evidence.json").read_text(encoding="utf-8"))
    assert list(evidence["half_life"]["values"]) == ["seed 7"]


CLAIM = """
  27:
    section: introduction
    claim: A state lasts.
    notebook: mine
    training: false
    version: 1
    tests:
      - measure: half_lif
        holds: "> 1"
        because: One step is no time.
"""


def test_a_claim_on_it_needs_no_other_file(clone, root):
    make_experiment("mine", root)
    path = root / "claims.yaml"
    text = path.read_text(encoding="utf-8") + CLAIM
    path.write_text(text, encoding="utf-8")
    told = clone.run("python", "-m", "experiments.claims.measures", ok=False)
    assert "claim 27: mine keeps no measure 'half_lif'; did you mean 'half_life'?" in told
    path.write_text(text.replace("half_lif\n", "half_life\n"), encoding="utf-8")
    clone.run("python", "-m", "experiments.claims.measures")
    assert "reports/mine/evidence.json" in current_inputs(root, "claims")["claims"].dependencies


def blocks(root):
    """The blocks of code of docs/own-experiment.md, by the words behind their language."""
    text = (root / "docs/own-experiment.md").read_text(encoding="utf-8")
    found = [part.partition("\n") for part in text.split("```")[1::2]]
    return [(head.partition(" ")[2], body) for head, _, body in found]


@pytest.mark.slow
def test_the_example_with_a_model_runs_as_the_page_says(clone, root):
    """The blocks of docs/own-experiment.md: a CSV, Keras, data of another kind, a claim."""
    written = blocks(root)
    params = root / "params.yaml"
    text = params.read_text(encoding="utf-8")
    pendulum, waves = (yaml.safe_load(body) for head, body in written if head == "params.yaml")
    named = dict(written)
    module = root / "src/experiments/data/waves.py"
    module.write_text(named["src/experiments/data/waves.py"], encoding="utf-8")
    values = yaml.safe_load(text)
    values["datasets"] |= pendulum["datasets"] | waves["datasets"]
    params.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    clone.run("lstm-states", "new", "swing", "--data", "pendulum")
    values["swing"] = pendulum["swing"]
    params.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    (root / "src/experiments/swing/settings.py").write_text(named["settings"], encoding="utf-8")
    [path] = (root / "notebooks").glob("*_swing.ipynb")
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    names = ("parameters", "imports", "start", "measurement", "answer", "checks")
    for cell, name in zip(code, names, strict=True):
        cell.source = named[name].rstrip("\n")
    nbformat.write(notebook, path)
    clone.run("dvc", "repro", "--single-item", "prepare@pendulum", "prepare@waves")
    clone.run("dvc", "repro", "--single-item", "swing")
    evidence = json.loads((root / "reports/swing/evidence.json").read_text(encoding="utf-8"))
    assert set(evidence) == {"swing_error", "swing_error_ridge"}
    report = nbformat.read(root / "reports/swing/report.ipynb", as_version=4)
    assert "The stack's error is" in readable.answer(report)
    (root / "claims.yaml").write_text(
        (root / "claims.yaml").read_text(encoding="utf-8") + named["claims.yaml"], encoding="utf-8"
    )
    clone.run("python", "-m", "experiments.claims.measures")
    clone.run("lstm-states", "claims", ok=False)
    decided = json.loads((root / "reports/claims.json").read_text(encoding="utf-8"))[26]
    assert [test["measure"] for test in decided["tests"]] == ["swing_error"]
    assert decided["tests"][0]["values"].keys() == {"seed 0", "seed 1"}
    yaml.safe_load(named["tolerances.yaml"])
