"""What the rules of claims.yaml make of evidence."""

from lstm_states.claims import decide, load_ledger
from tests.clone import ROOT

LEDGER = load_ledger(ROOT / "claims.yaml").claims


def judge(number, *measured):
    """Return the verdict on a claim and the outcome under each condition."""
    evidence = {
        str(name): {"values": dict(zip(data["model"].values, values.values, strict=True))}
        for data in measured
        for name, values in data.items()
    }
    decided = decide(LEDGER[number], evidence)
    return decided["verdict"], list(decided["sides"].values())


def verdict(number, *measured):
    """Return the verdict alone."""
    return judge(number, *measured)[0]
