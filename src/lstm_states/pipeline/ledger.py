"""The work of the stage `claims`: every verdict, worked out from what the trials measured."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from lstm_states import figures
from lstm_states.claims import VERDICTS, Claim, decide, load_ledger
from lstm_states.config import CONFIGURATIONS, TRIALS, stage_of
from lstm_states.pipeline import article
from lstm_states.pipeline.index import page_environment
from lstm_states.pipeline.outputs import find_output, read_report
from lstm_states.reporting import describe_decision, span

ANSWER = (
    ("Each layer keeps a hidden state h and a cell state c of its own, and carries both from one "
     "step to the next.", {10: "supported", 13: "supported"}),
    ("At each step it hands h up to the layer above and nothing else: c never leaves its layer.",
     {4: "refuted", 6: "refuted", 17: "refuted"}),
    ("With return_sequences it hands up every h, without it the last one; under a mask, that of "
     "the last real step.", {3: "depends", 5: "depends", 18: "depends", 20: "supported"}),
)  # fmt: skip
"""How hidden states are handled, each sentence with the verdicts that it stands on."""

Row = dict[str, Any]


def write_claims(root: Path) -> Path:
    """Write ``reports/claims.json``, ``reports/claims.html`` and the page's own figures.

    Args:
        root: The repository.

    Returns:
        The page.

    Raises:
        LedgerError: if claims.yaml breaks its rules.
        DataError: if the evidence of a trial is missing.
    """
    ledger = load_ledger(root / "claims.yaml")
    names = [name for name in (*TRIALS, *CONFIGURATIONS) if _decides(name, ledger.claims)]
    notebooks = {name: read_report(name, root) for name in names}
    evidence = {name: _evidence(name, notebooks[name], root) for name in names}
    rows = [
        _row(number, claim, evidence[claim.notebook]) for number, claim in ledger.claims.items()
    ]
    folder = root / "reports"
    text = json.dumps(rows, indent=2, ensure_ascii=False)
    (folder / "claims.json").write_text(text + "\n")
    page = folder / "claims.html"
    page.write_text(_rendered(rows, _pictures(rows, folder / "claims"), notebooks))
    return page


def _decides(name: str, claims: Mapping[int, Claim]) -> bool:
    return any(claim.notebook == name for claim in claims.values())


def _evidence(name: str, notebook: nbformat.NotebookNode, root: Path) -> dict[str, Any]:
    """Return what a trial kept, each measure with the id of the cell that kept it."""
    kept = json.loads(find_output(name, "evidence.json", root).read_text())
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ids = {cell.execution_count: cell.id for cell in code}
    for found in kept.values():
        found["cell"] = ids[found.pop("execution_count")]
    return kept


def _row(number: int, claim: Claim, evidence: Mapping[str, Any]) -> Row:
    """Return all that claims.json says of a claim."""
    published = [
        {
            **entry.model_dump(),
            "ours": [evidence[name] for name in entry.beside if name in evidence],
        }
        for entry in claim.published
    ]
    return {
        "id": number,
        **claim.model_dump(exclude={"tests", "published"}),
        "stage": stage_of(claim.notebook),
        **decide(claim, evidence),
        "published": published,
    }


def _pictures(rows: list[Row], folder: Path) -> dict[int, str]:
    """Return a figure for each claim that was measured, its path relative to the page.

    A figure of the notebook that belongs to one claim alone is that claim's; where several claims
    share one, or there is none, the values are drawn against the limits of the rule.
    """
    folder.mkdir(exist_ok=True)
    shown = {
        row["id"]: {f"{row['notebook']}/{t['figure']}" for t in row["tests"] if t["figure"]}
        for row in rows
    }
    uses = Counter(figure for found in shown.values() for figure in found)
    pictures = {}
    for row in rows:
        own = sorted(figure for figure in shown[row["id"]] if uses[figure] == 1)
        measured = [test for test in row["tests"] if test["values"]]
        if own:
            pictures[row["id"]] = own[0]
        elif measured:
            path = folder / f"claim_{row['id']:02d}.png"
            drawn = figures.plot_rule(measured, title=describe_decision(row))
            drawn.savefig(path, dpi=150, bbox_inches="tight", metadata={"Software": None})
            pictures[row["id"]] = f"{folder.name}/{path.name}"
    return pictures


def _rendered(
    rows: list[Row], pictures: dict[int, str], notebooks: Mapping[str, nbformat.NotebookNode]
) -> str:
    """Return the page: the answer, the table of verdicts, and a chapter for each notebook."""
    verdicts = {row["id"]: row["verdict"] for row in rows}
    answer = [(text, needs) for text, needs in ANSWER if needs.items() <= verdicts.items()]
    chapters = [
        {
            "name": name,
            "heading": article.first_heading(notebook),
            "answer": article.answer(notebook),
            "rows": [row for row in rows if row["notebook"] == name],
        }
        for name, notebook in notebooks.items()
    ]
    environment = page_environment()
    environment.filters["span"] = lambda values: span(list(values.values()))
    environment.filters["decision"] = describe_decision
    counts = Counter(verdicts.values())
    return environment.get_template("claims.html.j2").render(
        rows=rows,
        chapters=chapters,
        pictures=pictures,
        answer=answer,
        withheld=len(ANSWER) - len(answer),
        counts={verdict: counts[verdict] for verdict in VERDICTS},
    )
