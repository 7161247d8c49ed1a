"""What the engine is told of this repository."""

from types import SimpleNamespace

import pytest

from experiments import parameters
from experiments.project import PROJECT
from experiments.shared.settings import Trial
from notebook_pipeline.errors import ConfigError


def row(verdict, *sides):
    return {"id": 7, "verdict": verdict, "sides": dict(enumerate(sides)), "tests": [{"values": 1}]}


@pytest.mark.parametrize(
    ("here", "again", "agree"),
    [
        (row("supported", "holds"), row("supported", "holds"), True),
        (row("supported", "holds"), row("refuted", "fails"), False),
        (row("depends", "holds", "fails"), row("depends", "fails", "holds"), False),
        (row("undecided", "holds", "open"), row("undecided", "open", "open"), True),
    ],
)
def test_verdicts_must_be_the_same_on_another_class_of_machine(here, again, agree):
    compared = PROJECT.compared["claims.json"]
    assert (compared([here]) == compared([again])) is agree
    assert list(compared([here])) == ["claim 7"]


@pytest.mark.parametrize(("name", "whose"), [("stacked", "forecasting"), ("datasets", "data sets")])
def test_a_section_has_one_home(monkeypatch, name, whose):
    mine = SimpleNamespace(__name__="experiments.zebra.settings", SECTIONS={name: Trial})
    monkeypatch.setattr(parameters, "SETTINGS", (*parameters.SETTINGS, mine))
    with pytest.raises(ConfigError, match=f"zebra.settings: SECTIONS has '{name}'.*{whose}"):
        parameters._sections()
