"""The table of verdicts in the README, made from reports/claims.json: `python -m tests.readme`."""

import json

from tests.clone import ROOT

START, END = "<!-- verdicts -->\n", "<!-- end of verdicts -->\n"


def verdict_table() -> str:
    rows = json.loads((ROOT / "reports/claims.json").read_text())
    lines = [f"| {row['id']} | {row['claim']} | {row['verdict']} |" for row in rows]
    return "\n".join(["| | claim | verdict |", "|---|---|---|", *lines]) + "\n"


def split_readme() -> tuple[str, str, str]:
    """What is before the table, the table, and what is after it."""
    before, rest = (ROOT / "README.md").read_text().split(START)
    table, after = rest.split(END)
    return before + START, table, END + after


if __name__ == "__main__":
    before, _, after = split_readme()
    (ROOT / "README.md").write_text(before + verdict_table() + after)
