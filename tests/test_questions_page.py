"""The page of questions names headings that exist and helpers that are public."""

import re

import nbformat

import lstm_states
from tests.clone import ROOT

ROWS = [
    [part.strip() for part in line.strip("|\n").split("|")]
    for line in (ROOT / "docs/questions.md").read_text().splitlines()
    if line.startswith("| ")
][2:]
PROOF = re.compile(r"\[(\w+)\]\(\.\./notebooks/\1\.ipynb\): (.+)")


def questions_in(notebook):
    """The headings of a notebook that have a bold answer below them."""
    cells = nbformat.read(ROOT / f"notebooks/{notebook}.ipynb", as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "markdown"]
    return {s.splitlines()[0].removeprefix("## ") for s in sources if re.match(r"## .+\n\n\*\*", s)}


def test_every_row_has_an_answer_and_a_proof():
    assert len(ROWS) == 26
    assert len({row[0] for row in ROWS}) == 26
    for question, answer, proof, _ in ROWS:
        assert question.endswith("?")
        assert answer
        notebook, heading = PROOF.fullmatch(proof).groups()
        assert heading in questions_in(notebook), f"{notebook} does not answer {heading!r}"


def test_no_question_of_the_notebook_is_left_out():
    named = {PROOF.fullmatch(row[2])[2] for row in ROWS if "06_carrying_state" in row[2]}
    assert named == questions_in("06_carrying_state")


def test_every_helper_is_a_public_name():
    helpers = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[3])}
    assert len(helpers) > 12
    assert helpers <= set(lstm_states.__all__)
    for row in ROWS:
        assert re.fullmatch(r"(`\w+`(, `\w+`)*)?", row[3])
