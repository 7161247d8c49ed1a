"""The stage `claims`: decide every claim from the measured values."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat

from experiments.claims.figure import plot_rule
from experiments.claims.rules import VERDICTS, Claim, LedgerError, decide, load_ledger
from experiments.forecasting.settings import SECTIONS as CONFIGURATIONS
from notebook_pipeline.conditions import span
from notebook_pipeline.parameters.names import near_or_all
from notebook_pipeline.reports import readable
from notebook_pipeline.reports.missing import Missing
from notebook_pipeline.reports.templating import page_environment
from notebook_pipeline.repository import find_notebook
from notebook_pipeline.stages.outputs import find_output, read_report, replace_text
from notebook_pipeline.stages.states import notebook_stages

ANSWER = (
    ("Each layer has its own hidden state h and cell state c, and carries both from one step to "
     "the next.", {10: "supported", 13: "supported"}),
    ("At each step, it passes only h to the layer above: c never leaves its layer.",
     {4: "refuted", 6: "refuted", 17: "refuted"}),
    ("With return_sequences, it passes on every h; without it, only the last one, under a mask "
     "that of the last real step.", {3: "depends", 5: "depends", 18: "depends", 20: "supported"}),
)  # fmt: skip
"""How hidden states are handled, each sentence with the verdicts that it stands on."""

Row = dict[str, Any]


def write_claims(root: Path, missing: Sequence[Missing] = ()) -> Path:
    """Write ``reports/claims.json``, ``reports/claims.html`` and the page's own figures.

    Args:
        root: The repository.
        missing: What the page names in place of the evidence of its stage, whose claims stay
            undecided.

    Returns:
        The page.

    Raises:
        LedgerError: if claims.yaml breaks its rules.
        OutputsError: if the evidence of another trial is missing.
    """
    ledger = load_ledger(root / "claims.yaml")
    stages = notebook_stages(root)
    if unknown := {claim.notebook for claim in ledger.claims.values()} - stages.keys():
        raise LedgerError(
            f"claims.yaml: {min(unknown)!r} is no notebook; {near_or_all(min(unknown), stages)}"
        )
    # Those first that decide claims alone, by their numbers.
    names = sorted(
        {claim.notebook for claim in ledger.claims.values()},
        key=lambda name: (name in CONFIGURATIONS, find_notebook(name, root).name),
    )
    without = {one.stage for one in missing}
    notebooks = {name: read_report(name, root) for name in names if stages[name] not in without}
    evidence = {name: _evidence(name, notebook, root) for name, notebook in notebooks.items()}
    data = {name: readable.parameter(notebook, "dataset") for name, notebook in notebooks.items()}
    rows = [
        {
            **_row(
                number, claim, evidence.get(name := claim.notebook, {}), data.get(name, claim.data)
            ),
            "stage": stages[name],
        }
        for number, claim in ledger.claims.items()
    ]
    chapters = [_chapter(name, stages[name], notebooks.get(name), rows) for name in names]
    folder = root / "reports"
    replace_text(folder / "claims.json", json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
    page = folder / "claims.html"
    pictures = _pictures(rows, folder / "claims")
    replace_text(page, _rendered(rows, pictures, chapters, missing))
    return page


def _evidence(name: str, notebook: nbformat.NotebookNode, root: Path) -> dict[str, Any]:
    """Return what a trial kept, each measure with the id of the cell that kept it."""
    kept = json.loads(find_output(name, "evidence.json", root).read_text(encoding="utf-8"))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    ids = {cell.execution_count: cell.id for cell in code}
    for found in kept.values():
        found["cell"] = ids[found.pop("execution_count")]
    return kept


def _row(number: int, claim: Claim, evidence: Mapping[str, Any], data: Any) -> Row:
    """Return all that claims.json says of a claim, ``data`` being what its notebook ran on."""
    applies = claim.data in ("", data)
    decided = decide(claim, evidence if applies else {})
    if not applies:
        decided["reason"] = f"it is about {claim.data}, but {claim.notebook} ran on {data}"
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
        **decided,
        "published": published,
    }


def _pictures(rows: list[Row], folder: Path) -> dict[int, str]:
    """Return a figure for each claim that was measured, its path relative to the page.

    A figure of the notebook that belongs to one claim alone is that claim's; where several claims
    share one, or there is none, the values are drawn against the limits of the rule.
    """
    shutil.rmtree(folder, ignore_errors=True)  # its files may be links into DVC's cache
    folder.mkdir()
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
            drawn = plot_rule(measured, title=describe_decision(row))
            drawn.savefig(path, dpi=150, bbox_inches="tight", metadata={"Software": None})
            pictures[row["id"]] = f"{folder.name}/{path.name}"
    return pictures


def _chapter(
    name: str, stage: str, notebook: nbformat.NotebookNode | None, rows: list[Row]
) -> dict[str, Any]:
    """Return what the page says of a notebook, None where it is missing."""
    return {
        "name": name,
        "heading": readable.first_heading(notebook) if notebook else stage,
        "answer": readable.answer(notebook) if notebook else "",
        "is_missing": notebook is None,
        "rows": [row for row in rows if row["notebook"] == name],
    }


def _rendered(
    rows: list[Row],
    pictures: dict[int, str],
    chapters: list[dict[str, Any]],
    missing: Sequence[Missing],
) -> str:
    """Return the page: the answer, the table of verdicts, and a chapter for each notebook."""
    verdicts = {row["id"]: row["verdict"] for row in rows}
    answer = [(text, needs) for text, needs in ANSWER if needs.items() <= verdicts.items()]
    environment = page_environment(Path(__file__).parent)
    environment.filters["span"] = lambda values: span(list(values.values()))
    environment.filters["decision"] = describe_decision
    return environment.get_template("claims.html.j2").render(
        rows=rows,
        missing=missing,
        chapters=chapters,
        pictures=pictures,
        answer=answer,
        withheld=len(ANSWER) - len(answer),
        counts={
            "article": _counts(row for row in rows if row["section"] != "own"),
            "own": _counts(row for row in rows if row["section"] == "own"),
        },
    )


def _counts(rows: Iterable[Row]) -> dict[str, int]:
    """Return how many claims have each verdict."""
    counts = Counter(row["verdict"] for row in rows)
    return {verdict: counts[verdict] for verdict in VERDICTS if counts[verdict]}


def describe_decision(row: Mapping[str, Any]) -> str:
    """Say what decided a claim, given its row of claims.json: one measure and its values.

    For a claim that fails it is the test that fails first, for an open one the one that is open.
    """
    wanted = {"supported": "holds", "undecided": "open"}.get(row["verdict"], "fails")
    tests = [test for test in row["tests"] if test["values"]]
    deciding = next((test for test in tests if test["outcome"] == wanted), None)
    if deciding is None:
        return "Not measured"
    return f"{deciding['says']}: {span(list(deciding['values'].values()))}"
