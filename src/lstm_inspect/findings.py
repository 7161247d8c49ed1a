"""What a rule says of a model: how bad, where, what was measured, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

SEVERITIES = ("wrong", "risk", "note")
"""Most severe first: results are wrong; they may be, in use; worth knowing."""


@dataclass(frozen=True)
class Finding:
    """One thing that a rule has found.

    Args:
        severity: One of :data:`SEVERITIES`.
        rule: The rule that says so.
        layer: The address of the layer, or ``model``.
        case: What is the case, with the measured number.
        advice: What to do.
        question: The question of docs/questions.md whose answer explains it, or empty.
    """

    severity: str
    rule: str
    layer: str
    case: str
    advice: str
    question: str = ""


def others_too(layers: list[str]) -> str:
    """Return a sentence on the layers of which, after the first one, the same is true."""
    return f" So do {', '.join(layers[1:])}." if layers[1:] else ""


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return findings with the most severe first; those of one severity keep their order."""
    return tuple(sorted(findings, key=lambda one: SEVERITIES.index(one.severity)))
