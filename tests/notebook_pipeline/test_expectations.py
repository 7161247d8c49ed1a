"""Runs held against what the committed one found: which value departs, and by how much."""

import json

import pytest

from notebook_pipeline.departures import (
    departures_in_words,
    expectations_of_all,
    expectations_table,
    note_on,
)
from notebook_pipeline.expectations import (
    FILE,
    Expectation,
    Expectations,
    departure,
    hold_against,
    read_expectations,
)

NAN = float("nan")
KEPT = {
    "score": {"values": {"seed 0": 0.5, "seed 1": 0.75}, "says": "R² on the test part"},
    "half_life": {"values": {"seed 0": 2.0}, "says": "Half-life"},
}


@pytest.mark.parametrize(
    ("values", "conditions", "words"),
    [
        ([1, 2], ["< 3"], ""),
        ([1, 3.5], ["< 3"], "by 0.5, 1 of 2"),
        ([4, 3.5], ["> 0", "< 3"], "by up to 1, 2 of 2"),
        ([-1], ["> 0", "< 3"], "by 1"),
        ([3], ["< 3"], "by 0"),
        ([1, NAN], ["< 3"], "no number, 1 of 2"),
        ([4, NAN], ["< 3"], "by 1, 2 of 2"),
        ([float("inf")], ["< 3"], "by inf"),
    ],
)
def test_a_departure_in_words(values, conditions, words):
    assert departure(values, conditions) == words


def test_every_value_must_meet_every_condition():
    near, far = hold_against({"half_life": "> 1, < 3", "score": "> 0.6"}, KEPT)
    assert near == Expectation("half_life", "Half-life", "> 1, < 3", "2", "")
    assert far.told == "R² on the test part: 0.5 to 0.75, expected > 0.6 (by 0.1, 1 of 2)"


def test_a_misspelt_measure_and_a_wrong_condition_are_refused():
    with pytest.raises(ValueError, match=r"'half_live' is expected.*did you mean 'half_life'"):
        hold_against({"half_live": "< 3"}, KEPT)
    with pytest.raises(ValueError, match="'about 3' is no condition"):
        hold_against({"half_life": "> 1, about 3"}, KEPT)


def test_a_measure_that_other_data_lacks_departs_by_not_being_measured():
    [one] = hold_against({"lead_on_ridge": "> 0"}, KEPT, optional=["lead_on_ridge"])
    assert one.told == "lead_on_ridge: expected > 0 (not measured)"


def expectations(*differs, **expected):
    return Expectations(hold_against(expected, KEPT), tuple(differs))


def test_what_is_written_is_read_again(tmp_path):
    assert read_expectations(tmp_path) is None
    kept = expectations("epochs is 1, not 8", score="> 0.6", half_life="< 3")
    kept.write(tmp_path)
    assert read_expectations(tmp_path) == kept
    assert json.loads((tmp_path / FILE).read_text(encoding="utf-8"))["differs"] == list(
        kept.differs
    )


def test_a_page_is_told_of_departures_and_of_other_parameters():
    assert note_on(expectations(score="> 0")) == ""
    assert note_on(expectations(score="> 0.6", half_life="< 3")) == (
        "This run departs from 1 of 2 expectations."
    )
    assert note_on(expectations("epochs is 1, not 8", score="> 0")) == (
        "This run departs from none of 1 expectations; these belong to the notebook's own "
        "parameters, but in this run epochs is 1, not 8."
    )


def test_the_table_has_a_row_for_each_expectation():
    table = expectations_table(expectations(score="> 0.6", half_life="< 3"))
    assert table.caption == "This run departs from 1 of 2 expectations."
    assert table.data.to_numpy().tolist() == [
        ["R² on the test part", "> 0.6", "0.5 to 0.75", "by 0.1, 1 of 2"],
        ["Half-life", "< 3", "2", ""],
    ]


def test_all_departures_of_a_repository_in_words(tmp_path):
    for name, kept in {
        "stacked": expectations("dataset is 'own', not 'order_book'", score="> 0.6"),
        "memory": expectations(half_life="< 3"),
        "masking": expectations(half_life="< 1"),
    }.items():
        folder = tmp_path / "reports" / name
        folder.mkdir(parents=True)
        kept.write(folder)
    found = expectations_of_all(tmp_path, ["stacked", "memory", "not_run", "masking"])
    assert list(found) == ["stacked", "memory", "masking"]
    assert departures_in_words(found) == [
        "2 of 3 measures depart from the committed runs:",
        "  stacked: R² on the test part: 0.5 to 0.75, expected > 0.6 (by 0.1, 1 of 2)",
        "  masking: Half-life: 2, expected < 1 (by 1)",
        "  stacked ran with other parameters than its notebook's: dataset is 'own', not "
        "'order_book'",
    ]
    assert departures_in_words({"memory": found["memory"]}) == []
