"""The page of questions names headings and helpers that exist."""

import re

import keras
import nbformat
import numpy as np

import lstm_states
from experiments.shared import models
from tests.repository import ROOT

ROWS = [
    [part.strip() for part in line.strip("|\n").split("|")]
    for line in (ROOT / "docs/questions.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ")
][2:]
TEST = re.compile(r"\[`(\w+)`\]\(\.\./tests/experiments/test_questions_page\.py\)")
PROOF = re.compile(r"\[(\w+)\]\(\.\./notebooks/\1\.ipynb\): (.+)")


def questions_in(notebook):
    """The headings of a notebook that have a bold answer below them."""
    cells = nbformat.read(ROOT / f"notebooks/{notebook}.ipynb", as_version=4).cells
    sources = [cell.source for cell in cells if cell.cell_type == "markdown"]
    return {s.splitlines()[0].removeprefix("## ") for s in sources if re.match(r"## .+\n\n\*\*", s)}


def test_every_row_has_an_answer_and_a_proof():
    assert len(ROWS) == 27
    assert len({row[0] for row in ROWS}) == 27
    for question, answer, proof, _ in ROWS:
        assert question.endswith("?")
        assert answer
        if test := TEST.fullmatch(proof):
            assert callable(globals()[test[1]])
            continue
        notebook, heading = PROOF.fullmatch(proof).groups()
        assert heading in questions_in(notebook), f"{notebook} does not answer {heading!r}"


def test_no_question_of_the_notebook_is_left_out():
    named = {PROOF.fullmatch(row[2])[2] for row in ROWS if "06_carrying_state" in row[2]}
    assert named == questions_in("06_carrying_state")


def test_every_helper_is_a_public_name_or_a_builder_of_the_experiments():
    helpers = {name for row in ROWS for name in re.findall(r"`(\w+)`", row[3])}
    assert len(helpers) > 12
    builders = {name for name in dir(models) if name.startswith("build_")}
    assert helpers <= {*lstm_states.__all__, *builders}
    for row in ROWS:
        assert re.fullmatch(r"(`\w+`(, `\w+`)*)?", row[3])


def test_a_layer_given_states_gets_no_automatic_mask():
    tokens = keras.Input((5,), dtype="int32")
    embedding = keras.layers.Embedding(7, 3, mask_zero=True)
    z, mask = embedding(tokens), embedding.compute_mask(tokens)
    _, *states = keras.layers.LSTM(2, return_state=True, name="encoder")(z)
    decoded = keras.layers.LSTM(2, name="decoder")(z, initial_state=states)
    told = keras.layers.LSTM(2, name="told")(z, initial_state=states, mask=mask)
    x = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 1, 2]])
    traces = lstm_states.record_traces(keras.Model(tokens, [decoded, told]), x)
    np.testing.assert_array_equal(traces["encoder"]["mask"], x != 0)
    assert traces["decoder"]["mask"].all()
    np.testing.assert_array_equal(traces["told"]["mask"], x != 0)
