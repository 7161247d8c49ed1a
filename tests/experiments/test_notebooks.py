"""What every notebook source must be: thin, stripped, and in step with params.yaml."""

import ast
import re

import nbformat
import pytest
import yaml

from notebook_pipeline.parameters.cell import notebook_defaults
from notebook_pipeline.reports.markdown import markdown_html
from notebook_pipeline.run.contract import check_parameters
from notebook_pipeline.stages.states import notebook_stages
from tests.repository import ROOT, as_committed

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
CLAIMS = yaml.safe_load((ROOT / "claims.yaml").read_text(encoding="utf-8"))["claims"]


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    return request.param.stem, nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_is_one_for_each_stage_that_runs_one():
    names = [path.stem for path in PATHS]
    assert sorted(name[3:] for name in names) == sorted(notebook_stages(ROOT))
    assert len({name[:2] for name in names}) == len(names)


@pytest.mark.skipif(not as_committed("params.yaml"), reason="a value is being tried")
def test_defaults_equal_params_yaml(notebook):
    name, content = notebook
    assert notebook_defaults(content, name) == PARAMS[name[3:]]


def test_sources_are_stripped(notebook):
    for cell in code_cells(notebook[1]):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_cells_are_few_and_short_and_leave_seeds_to_the_experiments(notebook):
    cells = code_cells(notebook[1])
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert len(cells) <= 22
    for cell in cells:
        assert run_through(ast.parse(cell.source)) & {"seed", "seeds"} == set()
        if cell is not tagged[0]:
            assert len(cell.source.splitlines()) <= 15


def run_through(tree):
    """The names in the heads of loops and comprehensions."""
    loops = [n for n in ast.walk(tree) if isinstance(n, ast.For | ast.comprehension)]
    heads = [n for loop in loops for part in (loop.target, loop.iter) for n in ast.walk(part)]
    names = {n.id for n in heads if isinstance(n, ast.Name)}
    return names | {n.attr for n in heads if isinstance(n, ast.Attribute)}


@pytest.mark.parametrize(
    "code",
    [
        "for seed in settings.seeds:\n    fit(seed)",
        "[fit(n) for n in settings.seeds]",
        "{seed: fit() for seed in range(5)}",
    ],
)
def test_a_loop_over_seeds_is_found(code):
    assert run_through(ast.parse(code)) & {"seed", "seeds"}


def test_every_parameter_is_taken_and_read(notebook):
    name, content = notebook
    check_parameters(content, PARAMS[name[3:]], name)


def test_it_opens_with_a_question_and_ends_with_limits(notebook):
    first, last = notebook[1].cells[0].source, notebook[1].cells[-1].source
    assert first.startswith("# ")
    assert "**Question.**" in first
    assert re.search(r"It takes .*(seconds|minutes) on 2 cores with its default parameters", first)
    assert last.startswith("## Limits")


def test_two_things_to_try_stand_before_the_limits(notebook):
    name, content = notebook
    if name < "09":  # later ones are a user's own
        lines = content.cells[-2].source.splitlines()
        assert lines[:2] == ["## Two things to try", ""]
        assert [line[:3] for line in lines[2:]] == ["1. ", "2. "]


def test_the_answer_is_worded_by_a_cell_and_nowhere_else(notebook):
    [answer] = [c for c in notebook[1].cells if "answer" in c.metadata.get("tags", [])]
    assert ast.unparse(ast.parse(answer.source).body[-1]).startswith("Markdown(")
    words = [c.source for c in notebook[1].cells if c.cell_type == "markdown"]
    assert [text for text in words if "**Answer.**" in text] == []


def test_what_is_measured_is_expected_and_never_asserted(notebook):
    """An assert stands on residuals and shapes alone; `run.require` on stacks that are drawn."""
    cells = code_cells(notebook[1])
    expects = cells[-1].source
    assert "run.expect(" in expects
    assert expects.splitlines()[-1] == "expectations_table(held)"
    asserts = [
        node
        for cell in cells
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Assert)
    ]
    assert all(node.msg for node in asserts)
    names = {
        name.id for node in asserts for name in ast.walk(node.test) if isinstance(name, ast.Name)
    }
    assert names <= {"worst", "bound", "shape", "width", "layer", "carried"}


def test_no_sentence_names_the_data_it_comes_with(notebook):
    """Labels come from the data: a run may be on another."""
    words = [c.source for c in notebook[1].cells if c.cell_type == "markdown"]
    for name in ("order book", "order flow", "bitcoin", "speaker", "utterance", "vowel"):
        assert [text for text in words if name in text.lower()] == [], name


def named_without_link(text):
    """Claims, issues, questions and papers that a Markdown cell names without a link.

    A heading may name a claim to which its cell links.
    """
    linked = {f"{number}" for number in re.findall(r"claims\.html#claim-(\d+)\)", text)}
    heading = " ".join(re.findall(r"(?i)^#.*claims? ([\d,and ]+)", text, re.MULTILINE))
    named = set(re.findall(r"\d+", heading))
    prose = re.sub(r"^#.*$|\[[^]]*\]\([^)\s]+\)", "", text, flags=re.MULTILINE)
    pattern = r"(?i)\bclaims? \d+|[\w-]*#\d+|stack overflow \d+|[\w.]+,? \(?(?:19|20)\d\d\)"
    return [*re.findall(pattern, prose), *(named - linked)]


@pytest.mark.parametrize(
    "name",
    [
        *("claims 3 to 5", "Claim 1", "keras#12", "and #12", "Stack Overflow 12"),
        *("Greff et al. (2017)", "Greff et al., 2017)"),
    ],
)
def test_what_is_named_without_a_link_is_found(name):
    assert len(named_without_link(f"See {name}.")) == 1
    assert named_without_link(f"See [{name}](https://x.example/a).") == []


def test_a_heading_names_claims_that_its_cell_links_to():
    text = "## Claims 4 and 6: what?\n\n> [Claim 4](../reports/claims.html#claim-4): a"
    assert named_without_link(text) == ["6"]
    assert named_without_link(text.replace("and 6: what?", ": 6 steps?")) == []


def test_what_a_notebook_names_is_a_link(notebook):
    cells = [cell.source for cell in notebook[1].cells if cell.cell_type == "markdown"]
    assert [name for text in cells for name in named_without_link(text)] == []
    words = "\n".join(cells)
    for repository, number, address in re.findall(r"\[([\w-]+)#(\d+)\]\(([^)]+)\)", words):
        owner = "keras-team" if "keras" in repository else repository
        assert address == f"https://github.com/{owner}/{repository}/issues/{number}"
    for number, address in re.findall(r"\[Stack Overflow (\d+)\]\(([^)]+)\)", words):
        assert address == f"https://stackoverflow.com/questions/{number}"
    for number, address in re.findall(r"\[[Cc]laim (\d+)\]\(([^)]+)\)", words):
        assert address == f"../reports/claims.html#claim-{number}"
        assert int(number) in CLAIMS


def test_equations_can_be_shown(notebook):
    for cell in notebook[1].cells:
        if cell.cell_type == "markdown":
            assert "$" not in re.sub("<code>.*?</code>", "", markdown_html(cell.source, of="it"))


def test_each_claim_is_quoted_where_it_is_decided(notebook):
    name, content = notebook
    lines = {line.strip() for cell in content.cells for line in cell.source.splitlines()}
    for number, claim in CLAIMS.items():
        if claim["notebook"] == name[3:] and claim["section"] != "own":
            link = f"[Claim {number}](../reports/claims.html#claim-{number})"
            assert f"> {link}: {claim['claim']}" in lines
