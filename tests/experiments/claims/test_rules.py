import pytest
import yaml

from experiments.claims.rules import ClaimTest, LedgerError, decide, load_ledger
from tests.repository import ROOT

SIDE = {"holds": "> 1", "because": "it counts", "measure": "a"}


def ledger(tmp_path, *tests, **changes):
    claim = {"section": "1", "claim": "c", "notebook": "n", "training": False, "version": 1}
    path = tmp_path / "claims.yaml"
    path.write_text(
        yaml.safe_dump({"claims": {1: {**claim, "tests": list(tests), **changes}}}),
        encoding="utf-8",
    )
    return load_ledger(path)


def decided(tmp_path, evidence, *tests):
    values = {name: {"values": found} for name, found in evidence.items()}
    return decide(ledger(tmp_path, *tests).claims[1], values)


@pytest.mark.parametrize(
    ("values", "fails", "outcome"),
    [
        ({"a": 2, "b": 3}, None, "holds"),
        ({"a": 2, "b": 1}, None, "open"),
        ({"a": 0, "b": 1}, None, "fails"),
        ({"a": 0, "b": 0.9}, "< 0.5", "open"),
        ({"a": 0, "b": 0.4}, "< 0.5", "fails"),
        ({"a": 2, "b": float("nan")}, None, "open"),
        ({"a": float("inf")}, None, "holds"),
        ({}, None, "open"),
    ],
)
def test_values_decide_only_if_they_agree(values, fails, outcome):
    assert ClaimTest(**SIDE, fails=fails).outcome(values) == outcome


@pytest.mark.parametrize(
    ("condition", "below", "at", "above"),
    [
        ("< 0.5", 1, 0, 0), ("<= 0.5", 1, 1, 0),
        (">= 0.5", 0, 1, 1), ("> 0.5", 0, 0, 1),
    ],
)  # fmt: skip
def test_conditions(condition, below, at, above):
    test = ClaimTest(measure="a", holds=condition, because="b")
    found = [test.outcome({"a": value}) == "holds" for value in (0.4, 0.5, 0.6)]
    assert found == [below, at, above]


def test_sides_make_the_verdict(tmp_path):
    left = {**SIDE, "when": "left"}
    right = {**SIDE, "measure": "b", "when": "right"}

    def verdict(a, b, *tests):
        found = decided(tmp_path, {"a": {"x": a}, "b": {"x": b}}, *tests)
        return found["verdict"], found["sides"]

    assert verdict(2, 2, left, right) == ("supported", {"left": "holds", "right": "holds"})
    assert verdict(0, 0, left, right) == ("refuted", {"left": "fails", "right": "fails"})
    assert verdict(2, 0, left, right) == ("depends", {"left": "holds", "right": "fails"})
    both = {**right, "when": "left"}
    assert verdict(2, 0, left, both) == ("refuted", {"left": "fails"})
    assert verdict(2, 2, left, both) == ("supported", {"left": "holds"})


def test_undecided_has_a_reason(tmp_path):
    missing = decided(tmp_path, {}, SIDE)
    assert (missing["verdict"], missing["reason"]) == ("undecided", "a was not measured")
    split = decided(tmp_path, {"a": {"x": 2, "y": 0}}, SIDE)
    assert (split["verdict"], split["reason"]) == ("undecided", "a is > 1 in 1 of 2")
    nan = decided(tmp_path, {"a": {"x": 2, "y": float("nan")}}, SIDE)
    assert (nan["verdict"], nan["reason"]) == ("undecided", "a has no value for y")


@pytest.mark.parametrize(
    ("test", "changes", "says"),
    [
        ({**SIDE, "holds": "more than 1"}, {}, "'more than 1' is no condition"),
        ({**SIDE, "holds": ">1"}, {}, "write one such as"),
        ({**SIDE, "held": "> 1"}, {}, "claims.1.tests.0.held"),
        ({"measure": "a", "holds": "> 1"}, {}, "claims.1.tests.0.because"),
        (SIDE, {"section": "9"}, "claims.1.section"),
        (SIDE, {"verdict": "supported"}, "claims.1.verdict"),
    ],
)
def test_a_wrong_ledger_is_refused_by_name(tmp_path, test, changes, says):
    with pytest.raises(LedgerError, match=says):
        ledger(tmp_path, test, **changes)


def test_claims_are_numbered(tmp_path):
    text = (ROOT / "claims.yaml").read_text(encoding="utf-8")
    path = tmp_path / "claims.yaml"
    path.write_text(text.replace("\n  3:\n", "\n  300:\n"), encoding="utf-8")
    with pytest.raises(LedgerError, match="must count up from 1"):
        load_ledger(path)


def test_all_claims_are_in_the_ledger():
    claims = load_ledger(ROOT / "claims.yaml").claims
    assert len(claims) >= 26
    assert {c.notebook for c in claims.values()} >= {
        "how_states_flow", "memory", "depth", "masking", "cost", "stacked",
    }  # fmt: skip
