"""Canonical notebooks: equal runs give equal bytes, and nothing said is lost."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from notebook_pipeline.project import Project
from notebook_pipeline.reports.canonical import canonical_notebook
from notebook_pipeline.reports.page import render_html

if TYPE_CHECKING:
    from nbformat import NotebookNode


def code_cell(*outputs: NotebookNode) -> NotebookNode:
    """The outputs in a notebook of one cell, after `canonical_notebook`."""
    notebook = new_notebook(cells=[new_code_cell("1", outputs=list(outputs), execution_count=9)])
    return canonical_notebook(notebook).cells[0]


def test_two_executions_become_byte_identical(executions: list[NotebookNode]) -> None:
    first, second = executions
    assert nbformat.writes(first) != nbformat.writes(second)
    assert nbformat.writes(canonical_notebook(first)) == nbformat.writes(canonical_notebook(second))
    pages = [render_html(one, title="t", project=Project("dice")) for one in executions]
    assert pages[0] == pages[1]


def test_canonical_form_is_valid_stable_and_leaves_its_input(
    executions: list[NotebookNode],
) -> None:
    before = copy.deepcopy(executions[0])
    once = canonical_notebook(executions[0])
    nbformat.validate(once)
    assert executions[0] == before
    assert nbformat.writes(canonical_notebook(once)) == nbformat.writes(once)
    assert set(once.metadata) == {"kernelspec", "language_info"}
    assert set(once.metadata.language_info) == {"name"}
    counts = [cell.execution_count for cell in once.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert once.cells[-1].outputs[0].execution_count == counts[-1]


def test_canonical_form_keeps_what_was_said(executions: list[NotebookNode]) -> None:
    noisy = next(c for c in canonical_notebook(executions[0]).cells if "uuid4" in c.source)
    stdout, stderr, _ = noisy.outputs
    assert (stdout.name, stderr.name) == ("stdout", "stderr")
    assert stdout.text == "before <object object at 0x…>\nafter\n"
    assert stderr.text.startswith("<cell>:")
    assert "UserWarning: look out" in stderr.text
    assert "it/s" not in stderr.text


def test_streams_are_merged_up_to_the_next_display() -> None:
    out, err = (
        lambda text, name=name: new_output("stream", name=name, text=text)
        for name in ("stdout", "stderr")
    )
    shown = new_output("display_data", {"text/plain": "x"})
    cell = code_cell(out("a"), err("e"), out("b"), shown, out("c"))
    texts = [output.get("text", output.get("data")) for output in cell.outputs]
    assert texts == ["ab", "e", {"text/plain": "x"}, "c"]
    assert cell.execution_count == 1


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\n\r 50%|# | 1/2 [00:01<00:01, 1.2s/it]\r100%|##| 2/2 [00:02, 1.0s/it]\nb\n", "a\nb\n"),
        ("\r 50%|# | 1/2 [00:01<00:01, 2.0it/s]Warning: x\n  rest\n", "Warning: x\n  rest\n"),
        ("1/2 ━━ 0s 4ms/step\b\b\r2/2 ━━━━ 1s 3ms/step - loss: 0.5\n", " - loss: 0.5\n"),
        ("counting\rdone\n", "done\n"),
        ("[1/2] at 3 files/s\n", "[1/2] at 3 files/s\n"),
    ],
)
def test_progress_bars_go_and_words_stay(text: str, kept: str) -> None:
    assert code_cell(new_output("stream", name="stderr", text=text)).outputs[0].text == kept
