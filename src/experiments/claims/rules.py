"""The ledger of claims: the rule that decides each, and the verdict on what was measured.

A claim is decided by tests. A test compares one measured quantity, a value for each model or seed,
with a limit that was written down before the run. Tests that hold under the same condition make
one side of the claim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from notebook_pipeline.conditions import Condition, satisfies
from notebook_pipeline.errors import UserError
from notebook_pipeline.parameters.strict import Strict

Outcome = Literal["holds", "fails", "open"]
Verdict = Literal["supported", "refuted", "depends", "undecided"]


class LedgerError(UserError, ValueError):
    """claims.yaml breaks its rules; names the claim, the key, the value and what fits."""


VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

Text = Annotated[str, Field(min_length=1)]


class ClaimTest(Strict):
    """One comparison of a measured quantity with limits.

    Attributes:
        measure: Name under which the notebook keeps the values.
        holds: What every value must satisfy for the claim to hold, such as "> 1e-3".
        fails: What every value must satisfy for the claim to fail; without it, the opposite of
            ``holds``. Between the two nothing is decided.
        because: Why the limits are where they are.
        when: The condition under which the test is made; one side of the claim for each.
    """

    measure: Text
    holds: Condition
    fails: Condition | None = None
    because: Text
    when: str = ""

    def outcome(self, values: Mapping[str, float]) -> Outcome:
        """Return what the values say: they decide only if all of them agree."""
        numbers = list(values.values())
        if not numbers or any(math.isnan(number) for number in numbers):
            return "open"
        if all(satisfies(number, self.holds) for number in numbers):
            return "holds"
        if self.fails is None:
            failing = [not satisfies(number, self.holds) for number in numbers]
        else:
            failing = [satisfies(number, self.fails) for number in numbers]
        return "fails" if all(failing) else "open"


class Published(Strict):
    """What others found, to stand beside ours.

    Attributes:
        source: Authors and year.
        found: What they report, in our words.
        beside: Measures of the claim's trial that it is set beside.
    """

    source: Text
    found: Text
    beside: list[Text] = Field(default_factory=list)


class Claim(Strict):
    """One claim, of the article or one's own, and the rule that decides it.

    Attributes:
        section: Where the article makes it; ``own`` if the article does not.
        claim: What it says, in our words.
        notebook: The trial that measures it, such as "how_states_flow".
        training: Whether models are trained for it.
        data: The data set that the claim is about, if any will not do.
        version: Counts the changes of the rule.
        remark: What a reader should know beside the verdict.
        tests: A claim holds under a condition if all tests of that condition hold, and fails if
            one fails.
        published: What others found; it has no say in the verdict.
    """

    section: Literal["introduction", "1", "2", "own"]
    claim: Text
    notebook: Text
    data: str = ""
    training: bool
    version: Annotated[int, Field(ge=1)]
    remark: str = ""
    tests: Annotated[list[ClaimTest], Field(min_length=1)]
    published: list[Published] = Field(default_factory=list)


class Ledger(Strict):
    """All of claims.yaml; claims are numbered from 1 without a gap."""

    claims: dict[int, Claim]

    @model_validator(mode="after")
    def _numbered(self) -> Ledger:
        numbers = list(self.claims)
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"claims are numbered {numbers}; they must count up from 1")
        return self


def load_ledger(path: Path) -> Ledger:
    """Read claims.yaml.

    Raises:
        LedgerError: naming every claim and key that is unknown, missing or wrong.
    """
    try:
        return Ledger.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc'])}: "
            f"{problem['msg'].removeprefix('Value error, ')} (is {problem['input']!r})"
            for problem in error.errors()
        ]
        raise LedgerError(f"{path.name}: " + "\n  ".join(problems)) from None


def decide(claim: Claim, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Decide a claim by its rule and nothing else.

    Args:
        claim: With its tests.
        evidence: What its notebook kept: by the name of the measure ``values`` (a number for each
            model or seed), ``says``, ``unit``, ``cell`` and ``figure``.

    Returns:
        ``verdict``; ``sides``, the outcome by condition; ``reason``, empty unless undecided; and
        ``tests``, each with rule, values and outcome.
    """
    tests = [_decided(test, evidence.get(test.measure)) for test in claim.tests]
    sides: dict[str, Outcome] = {}
    for condition in dict.fromkeys(test.when for test in claim.tests):
        outcomes = [test["outcome"] for test in tests if test["when"] == condition]
        sides[condition] = _side(outcomes)
    verdict = _verdict(list(sides.values()))
    reasons = [_why_open(test) for test in tests if test["outcome"] == "open"]
    reason = "; ".join(reasons) if verdict == "undecided" else ""
    return {"verdict": verdict, "sides": sides, "reason": reason, "tests": tests}


def _decided(test: ClaimTest, measured: Mapping[str, Any] | None) -> dict[str, Any]:
    found = measured or {"values": {}, "says": "", "unit": "", "cell": "", "figure": ""}
    return {**test.model_dump(), **found, "outcome": test.outcome(found["values"])}


def _side(outcomes: list[Outcome]) -> Outcome:
    if "fails" in outcomes:
        return "fails"
    return "open" if "open" in outcomes else "holds"


def _verdict(sides: list[Outcome]) -> Verdict:
    if "open" in sides:
        return "undecided"
    if "fails" not in sides:
        return "supported"
    return "depends" if "holds" in sides else "refuted"


def _why_open(test: Mapping[str, Any]) -> str:
    values = test["values"]
    if not values:
        return f"{test['measure']} was not measured"
    missing = [name for name, value in values.items() if math.isnan(value)]
    if missing:
        return f"{test['measure']} has no value for {', '.join(missing)}"
    holding = sum(satisfies(value, test["holds"]) for value in values.values())
    return f"{test['measure']} is {test['holds']} in {holding} of {len(values)}"
