"""`lstm-states new`: what it writes, what it refuses, and that it runs at once."""

import difflib
import json
import re

import nbformat
import pytest
import yaml

from experiments import new
from experiments.claims.rules import load_ledger
from experiments.new import make_experiment
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.reports import readable
from notebook_pipeline.stages.states import current_inputs, notebook_stages
from notebook_pipeline.verification.tolerances import load_tolerances
from tests.clone import Clone, make_clone

NAME = "made_by_a_test"
"""The checkout may hold experiments of its user, but none of this name."""

HOUSE = [
    f"tests/experiments/test_{name}.py" for name in ("config", "dvc_yaml", "layers", "notebooks")
]
"""Tests that look at whatever experiments there are."""


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
        ("datasets", "it is the section of the data sets in params.yaml; choose another name"),
        ("copy", "params.yaml cannot have a section 'copy'; choose another name"),
        ("null", "params.yaml cannot have a section 'null'; choose another name"),
        ("true", "it is a Python keyword"),
        ("fraction", "settings.py imports another Fraction; choose another name"),
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
        make_experiment(NAME, root, **options)
    assert message in str(error.value)
    assert untouched(clone)


def test_what_a_stage_has_yet_to_make_may_lie_within_its_outputs_or_around_them(clone, root):
    inside, around = "reports/stacked/model/model.weights.h5", "data/processed"
    (root / "reports/stacked/model").mkdir()
    with pytest.raises(ConfigError, match=f"{inside} isn't there, and no stage"):
        make_experiment(NAME, root, dependencies=[inside])
    (root / "reports/stacked/model").rmdir()
    make_experiment(NAME, root, dependencies=[inside, around])
    assert {inside, around} <= current_inputs(root, NAME)[NAME].dependencies.keys()


@pytest.mark.parametrize("file", ["params.yaml", "dvc.yaml"])
def test_a_merge_that_is_not_done_is_told_in_a_line(clone, root, file):
    path = root / file
    text = path.read_text(encoding="utf-8")
    path.write_text(f"<<<<<<< mine\n{text}=======\n>>>>>>> theirs\n", encoding="utf-8")
    printed = clone.run("lstm-states", "new", NAME, ok=False)
    assert printed.startswith("lstm-states: ")
    assert file in printed
    assert len(printed.splitlines()) == 1
    assert clone.run("git", "status", "--porcelain") == f" M {file}\n"


def test_a_name_may_be_a_word_of_the_templates(clone, root):
    for name in sorted({"end", "example"} - notebook_stages(root).keys()):
        clone.run("lstm-states", "new", name)  # the second reads the settings of the first
        assert current_inputs(root, name)[name].parameters[name]["keep"] == 0.9


def test_a_second_call_is_refused(clone, root):
    make_experiment(NAME, root)
    written = clone.run("git", "diff")
    with pytest.raises(ConfigError, match=f"src/experiments/{NAME} exists already"):
        make_experiment(NAME, root)
    assert clone.run("git", "diff") == written


@pytest.mark.parametrize("failing", range(6))
def test_nothing_half_written_is_left(clone, root, monkeypatch, failing):
    write, calls = new.replace_text, []

    def fail_once(path, text):
        calls.append(path)
        if len(calls) == failing + 1:
            raise KeyboardInterrupt
        write(path, text)

    monkeypatch.setattr(new, "replace_text", fail_once)
    with pytest.raises(KeyboardInterrupt):
        make_experiment(NAME, root)
    assert untouched(clone)


def test_files_of_the_repository_are_added_to_and_nothing_else(clone, root):
    before = {
        name: (root / name).read_text(encoding="utf-8") for name in ("dvc.yaml", "params.yaml")
    }
    last = int(max((root / "notebooks").glob("*.ipynb")).name[:2])
    make_experiment(NAME, root, datasets=["order_book"], dependencies=["reports/stacked/model"])
    clone.run("lstm-states", "new", f"{NAME}_too")
    for name, text in before.items():
        now = (root / name).read_text(encoding="utf-8")
        changed = difflib.ndiff(text.splitlines(), now.splitlines())
        assert [line for line in changed if line.startswith("-")] == []
        assert "\n\n\n" not in now
        assert now.count("\n\n") == text.count("\n\n") + 2  # a section each, set apart
    assert sorted(path.name for path in (root / "notebooks").glob(f"*_{NAME}*.ipynb")) == [
        f"{last + 1:02d}_{NAME}.ipynb", f"{last + 2:02d}_{NAME}_too.ipynb"
    ]  # fmt: skip
    written = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage in (NAME, f"{NAME}_too", "pages", "claims", "index"):
        assert written[stage]["deps"] == sorted(written[stage]["deps"])
    stages = notebook_stages(root)
    assert list(stages)[-2:] == [NAME, f"{NAME}_too"]
    state = current_inputs(root, NAME)[NAME]
    assert {"data/processed/order_book.zarr", "reports/stacked/model"} <= state.dependencies.keys()
    assert state.parameters == {NAME: {"keep": 0.9, "seeds": [0, 1, 2]}}


@pytest.mark.slow
def test_it_runs_at_once_and_is_everywhere(clone, root):
    """Of a repository where nothing else has run."""
    clone.run("lstm-states", "new", NAME)
    clone.run("dvc", "repro", "--single-item", NAME)
    evidence = json.loads((root / f"reports/{NAME}/evidence.json").read_text(encoding="utf-8"))
    assert evidence["half_life"]["values"] == {"seed 0": 7.0, "seed 1": 7.0, "seed 2": 7.0}
    clone.run("lstm-states", "pages")
    report = (root / f"reports/{NAME}/report.html").read_text(encoding="utf-8")
    assert "How long does a state that leaks" in report
    told = clone.run("lstm-states", "index", ok=False)  # it says what has not run
    assert NAME not in told
    index = (root / "reports/index.html").read_text(encoding="utf-8")
    assert f'href="{NAME}/report.html"' in index.partition("Other experiments</h2>")[2]
    assert "Half of a change is gone after 7 steps" in index
    experiment = clone.client().get_experiment_by_name("lstm-states").experiment_id
    runs = clone.client().search_runs([experiment])
    assert [run.data.tags["configuration"] for run in runs] == [NAME]
    status = clone.run("lstm-states", "status", ok=False)
    [line] = [line for line in status.splitlines() if line.startswith(f"{NAME} ")]
    assert "see below" not in line
    assert "all of them agree" in clone.run("lstm-states", "verify", NAME)
    clone.run("dvc", "exp", "run", "-S", f"{NAME}.seeds=[7]", "--single-item", NAME)
    evidence = json.loads((root / f"reports/{NAME}/evidence.json").read_text(encoding="utf-8"))
    assert list(evidence["half_life"]["values"]) == ["seed 7"]


CLAIM = """
  {number}:
    section: own
    claim: A state lasts.
    notebook: {name}
    training: false
    version: 1
    tests:
      - measure: half_lif
        holds: "> 1"
        because: One step is no time.
"""


def next_claim(root):
    return len(load_ledger(root / "claims.yaml").claims) + 1


def test_a_claim_on_it_needs_no_other_file(clone, root):
    make_experiment(NAME, root)
    path, number = root / "claims.yaml", next_claim(root)
    text = path.read_text(encoding="utf-8") + CLAIM.format(number=number, name=NAME)
    path.write_text(text, encoding="utf-8")
    told = clone.run("python", "-m", "experiments.claims.measures", ok=False)
    assert f"claim {number}: {NAME} keeps no measure 'half_lif'; did you mean 'half_life'?" in told
    path.write_text(text.replace("half_lif\n", "half_life\n"), encoding="utf-8")
    clone.run("python", "-m", "experiments.claims.measures")
    assert f"reports/{NAME}/evidence.json" in current_inputs(root, "claims")["claims"].dependencies


def check_house(clone, *written):
    """Run on the clone what `make lint` and `make test` ask of any experiment."""
    clone.run("ruff", "check", *written)
    clone.run("ruff", "format", "--check", *written)
    # All that it imports takes a minute.
    clone.run("mypy", "--follow-imports=skip", *written)
    clone.run("lint-imports")
    clone.run("python", "-m", "experiments.claims.measures")
    notebooks = sorted(map(str, (clone.path / "notebooks").glob("*.ipynb")))
    clone.run("nbstripout", "--keep-id", "--verify", *notebooks)
    # Values that are not committed count as tried.
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--message", "an experiment")
    try:
        clone.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *HOUSE)
    finally:
        clone.run("git", "reset", "--quiet", "HEAD~1")


BLOCK = re.compile(r"^```(\w*) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def follow(page, root, clone):
    """Do all that the blocks of a page say, in their order.

    The cells of the notebook are put in before it runs.
    """
    cells = {}
    for language, place, body in BLOCK.findall(page):
        if language == "sh":
            for line in body.splitlines():
                if line.split()[0] in ("make", "source"):  # the clone uses the environment of tests
                    continue
                if line.startswith("dvc"):
                    replace_cells(root, cells)
                clone.run(*line.split())
        elif place == "params.yaml":
            add_parameters(root / place, yaml.safe_load(body))
        elif language == "yaml":
            text, last, after = (root / place).read_text(encoding="utf-8").partition('  "*":')
            (root / place).write_text(text + body + last + after, encoding="utf-8")
        elif place.endswith(".py"):
            (root / place).write_text(body, encoding="utf-8")
        elif language == "python":
            cells[place] = body.rstrip("\n")


def add_parameters(path, sections):
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["datasets"] |= sections.pop("datasets", {})
    path.write_text(yaml.safe_dump(values | sections, sort_keys=False), encoding="utf-8")


def replace_cells(root, cells):
    """Put the code of the cells into the notebook that the page is about."""
    [path] = (root / "notebooks").glob("*_swing.ipynb")
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, source in zip(code, cells.values(), strict=True):
        cell.source = source
    nbformat.write(notebook, path)


@pytest.mark.slow
def test_the_page_can_be_followed_from_top_to_bottom(clone, root):
    """docs/own-experiment.md: a CSV, Keras, data of another kind, a claim, a tolerance."""
    page = (root / "docs/own-experiment.md").read_text(encoding="utf-8")
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    if {"mine", "swing"} & params.keys() or {"pendulum", "waves"} & params["datasets"].keys():
        pytest.skip("the page has been followed in this checkout already")
    number = next_claim(root)
    follow(page.replace("\n  27:\n", f"\n  {number}:\n"), root, clone)
    evidence = json.loads((root / "reports/swing/evidence.json").read_text(encoding="utf-8"))
    assert set(evidence) == {"swing_error", "swing_error_ridge"}
    report = nbformat.read(root / "reports/swing/report.ipynb", as_version=4)
    assert "The error of the LSTM is" in readable.answer(report)
    assert (root / "data/processed/waves.zarr").is_dir()
    clone.run("lstm-states", "claims", ok=False)  # it says what has not run
    decided = json.loads((root / "reports/claims.json").read_text(encoding="utf-8"))[number - 1]
    assert [test["measure"] for test in decided["tests"]] == ["swing_error"]
    assert decided["tests"][0]["values"].keys() == {f"seed {seed}" for seed in range(5)}
    clone.run("lstm-states", "index", ok=False)
    assert " of our own, decided by" in (root / "reports/index.html").read_text(encoding="utf-8")
    assert load_tolerances(root / "tolerances.yaml").of("swing.swing_error").relative == 0.5
    written = ("mine", "swing", "data/waves.py")  # the first as `new` leaves it
    check_house(clone, *(f"src/experiments/{path}" for path in written))
