"""What every notebook source must be: thin, stripped, and in step with params.yaml."""

import ast

import nbformat
import pytest
import yaml

from lstm_states.pipeline.contract import check_parameters, notebook_defaults
from tests.clone import ROOT

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    return request.param.stem, nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_is_one_for_each_configuration_and_trial():
    assert [path.stem for path in PATHS] == [
        "00_how_states_flow",
        "01_stacked",
        "02_intermediate_outputs",
        "03_variable_length",
        "04_memory",
        "05_depth",
        "06_carrying_state",
        "07_masking",
        "08_cost",
    ]


def test_defaults_equal_params_yaml(notebook):
    name, content = notebook
    assert notebook_defaults(content, name) == PARAMS[name[3:]]


def test_sources_are_stripped(notebook):
    for cell in code_cells(notebook[1]):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_cells_are_few_short_and_define_nothing(notebook):
    cells = code_cells(notebook[1])
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert len(cells) <= 20
    for cell in cells:
        tree = ast.parse(cell.source)
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        if cell is not tagged[0]:
            assert len(cell.source.splitlines()) <= 15


def test_every_parameter_is_taken_and_read(notebook):
    name, content = notebook
    check_parameters(content, PARAMS[name[3:]], name)


def test_it_opens_with_question_and_answer_and_ends_with_limits(notebook):
    first, last = notebook[1].cells[0].source, notebook[1].cells[-1].source
    assert first.startswith("# ")
    assert "**Question.**" in first
    assert "**Answer.**" in first
    assert "minutes on 2 cores" in first
    assert last.startswith("## Limits")
    assert "assert " in code_cells(notebook[1])[-1].source
