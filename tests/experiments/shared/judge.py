"""What the rules of claims.yaml make of evidence."""

from experiments.claims.rules import decide, load_ledger
from tests.repository import ROOT

LEDGER = load_ledger(ROOT / "claims.yaml").claims


def as_kept(*measured):
    """Return evidence as evidence.json has it."""
    return {
        str(name): {
            "values": dict(zip(data["model"].values, values.values.tolist(), strict=True)),
            "says": values.attrs["long_name"],
        }
        for data in measured
        for name, values in data.items()
    }


def judge(number, *measured):
    """Return the verdict on a claim and the outcome under each condition."""
    decided = decide(LEDGER[number], as_kept(*measured))
    return decided["verdict"], list(decided["sides"].values())


def verdict(number, *measured):
    """Return the verdict alone."""
    return judge(number, *measured)[0]
