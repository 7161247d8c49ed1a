"""The traps that a model can be in over its data; each rule decides from what was measured.

A rule takes the evidence and yields findings. To add one, write it into the module of its subject
and name it in ``RULES``.
"""

from __future__ import annotations

from lstm_inspect.evidence import Evidence
from lstm_inspect.findings import Finding, in_order
from lstm_inspect.rules.carrying import RULES as CARRYING
from lstm_inspect.rules.padding import RULES as PADDING
from lstm_inspect.rules.recording import RULES as RECORDING
from lstm_inspect.rules.states import RULES as STATES

RULES = (*RECORDING, *PADDING, *CARRYING, *STATES)


def judge(evidence: Evidence) -> tuple[Finding, ...]:
    """Return what all rules find, the most severe first."""
    return in_order([finding for rule in RULES for finding in rule(evidence)])
