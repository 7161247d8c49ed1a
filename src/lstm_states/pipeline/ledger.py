"""The work of the stage `claims`: every verdict, worked out from what the trials measured."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat

from lstm_states.claims import VERDICTS, decide, load_ledger
from lstm_states.config import CONFIGURATIONS, TRIALS
from lstm_states.pipeline.index import page_environment
from lstm_states.reporting import span
from lstm_states.schema import DataError

ANSWER = (
    ("Each layer keeps a hidden state h and a cell state c of its own, and carries both from one "
     "step to the next.", (10, 13)),
    ("At each step it hands h up to the layer above and nothing else: c never leaves its layer.",
     (4, 6, 17)),
    ("With return_sequences it hands up every h, without it the last one; under a mask, that of "
     "the last real step.", (3, 5, 18, 20)),
)  # fmt: skip
"""How hidden states are handled, each sentence with the claims that it rests on."""


def write_claims(root: Path) -> Path:
    """Write ``reports/claims.json`` and ``reports/claims.html``.

    Args:
        root: The repository.

    Returns:
        The page.

    Raises:
        LedgerError: if claims.yaml breaks its rules.
        DataError: if the evidence of a trial is missing.
    """
    ledger = load_ledger(root / "claims.yaml")
    evidence = {
        claim.notebook: _evidence(claim.notebook, root)
        for claim in ledger.claims.values()
        if claim.notebook in (*CONFIGURATIONS, *TRIALS)
    }
    rows = [
        {
            "id": number,
            **claim.model_dump(exclude={"tests"}),
            **decide(claim, evidence.get(claim.notebook, {})),
        }
        for number, claim in ledger.claims.items()
    ]
    folder = root / "reports"
    (folder / "claims.json").write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    page = folder / "claims.html"
    page.write_text(_rendered(rows))
    return page


def _evidence(name: str, root: Path) -> dict[str, Any]:
    """Return what a trial kept, each measure with the id of the cell that kept it."""
    folder = root / "reports" / name
    try:
        kept = json.loads((folder / "evidence.json").read_text())
        notebook = nbformat.read(folder / "report.ipynb", as_version=4)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} is missing; `dvc repro` makes it") from None
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ids = {cell.execution_count: cell.id for cell in code}
    for found in kept.values():
        found["cell"] = ids[found.pop("execution_count")]
    return kept


def _rendered(rows: list[dict[str, Any]]) -> str:
    environment = page_environment()
    environment.filters["span"] = lambda values: span(list(values.values()))
    counts = Counter(row["verdict"] for row in rows)
    return environment.get_template("claims.html.j2").render(
        rows=rows, answer=ANSWER, counts={verdict: counts[verdict] for verdict in VERDICTS}
    )
