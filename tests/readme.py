"""The table of verdicts in the README, made from reports/claims.json: `python -m tests.readme`."""

import json

from tests.repository import ROOT

START, END = "<!-- verdicts -->\n", "<!-- end of verdicts -->\n"


def verdict_table(claims: str) -> str:
    """The table that ``claims``, the text of reports/claims.json, makes."""
    rows = json.loads(claims)
    lines = [
        f"| {row['id']} | {row['claim']}{' (own)' if row['section'] == 'own' else ''} "
        f"| {row['verdict']} |"
        for row in rows
    ]
    return "\n".join(["| | claim | verdict |", "|---|---|---|", *lines]) + "\n"


def split_readme(text: str) -> tuple[str, str, str]:
    """What is before the table, the table, and what is after it."""
    before, rest = text.split(START)
    table, after = rest.split(END)
    return before + START, table, END + after


if __name__ == "__main__":
    readme = ROOT / "README.md"
    before, _, after = split_readme(readme.read_text(encoding="utf-8"))
    table = verdict_table((ROOT / "reports/claims.json").read_text(encoding="utf-8"))
    readme.write_text(before + table + after, encoding="utf-8")
