"""Write what was found as one HTML page, which loads nothing."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from importlib import resources

import keras
import numpy as np
import pandas as pd

from lstm_explorer import explore
from lstm_explorer.shell import in_frame, whole_page
from lstm_inspect.evidence import Evidence
from lstm_inspect.findings import Finding
from lstm_inspect.questions import ANSWERS
from lstm_inspect.tables import are_classes

_BODY = """<main>
<h1>{title}</h1>
<p>{about}</p>
<h2>Findings</h2>
{findings}
<h2>Layers</h2>
<p>Each layer carries its own states from step to step. The residual is the largest error of its
equations over what was recorded; rounding explains about 1e-6.</p>
{layers}
<h2>States</h2>
<p>A half-life is the number of steps after which a unit has lost half of its state by its gates.
A gate is shut below 0.1 and open above 0.9; shares are those of all real steps.</p>
{states}
<h2>What the states tell of the labels</h2>
<p>{about_probes}</p>
{probes}
<h2>Sensitivity</h2>
<p>How far the outputs of the same samples move if these are padded, or run in another order.</p>
{sensitivity}
<h2>Explorer</h2>
{explorer}
</main>"""


def render(
    seen: Evidence,
    *,
    title: str,
    findings: Sequence[Finding],
    tables: Mapping[str, pd.DataFrame | None],
    about_probes: str,
) -> str:
    """Return the page."""
    style = resources.files("lstm_inspect").joinpath("report.css").read_text(encoding="utf-8")
    body = _BODY.format(
        title=html.escape(title),
        about=html.escape(_about(seen)),
        findings=_findings(findings),
        about_probes=html.escape(about_probes),
        explorer=_explorer(seen, title),
        **{name: "" if one is None else _table(name, one) for name, one in tables.items()},
    )
    return whole_page(title=title, style=style, body=body)


def _about(seen: Evidence) -> str:
    shapes = [leaf.shape for leaf in keras.tree.flatten(seen.given.x)]
    told = " and ".join(str(tuple(map(int, shape))) for shape in shapes)
    read = f"Model {seen.given.model.name!r} over inputs of shape {told}."
    for number, padding in seen.paddings.items():
        where = [name for name, there in (
            ("start", padding.at_start), ("end", padding.at_end)) if there]  # fmt: skip
        place = f" at the {' and the '.join(where)}" if where else ""
        by = "by the mask given" if padding.named else padding.told
        which = f" of input {number + 1}" if len(shapes) > 1 else ""
        read += f" {padding.share:.0%} of the steps{which} are padding{place} ({by})."
    if seen.given.samples < seen.whole.samples:
        how = "evenly spaced" if seen.whole.slots is None else "the first ones, in whole batches"
        read += f" {seen.given.samples:,} of {seen.whole.samples:,} samples were inspected, {how}."
    return read


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return "<p>No trap found.</p>"
    items = []
    for one in findings:
        link = _answer(one.question) if one.question else ""
        items.append(
            f'<li class="{one.severity}"><p><b class="tag">{one.severity}</b> '
            f"<code>{html.escape(one.layer)}</code> {html.escape(one.case)}</p>"
            f"<p>{html.escape(one.advice)}{link}</p></li>"
        )
    return f'<ol class="findings">{"".join(items)}</ol>'


def _answer(question: str) -> str:
    """Return the question that explains a finding, its answer, and where both stand."""
    told = f"{question} {ANSWERS[question]}".replace("`", "")
    return f" <cite>{html.escape(told)}. (lstm-states, docs/questions.md)</cite>"


def _table(name: str, table: pd.DataFrame) -> str:
    filled = [column for column in table if not _is_empty(table[column])]
    table = table[filled or list(table)]
    head = "".join(f'<th scope="col">{html.escape(str(c))}</th>' for c in table.columns)
    rows = []
    for place, values in zip(table.index, table.itertuples(index=False), strict=True):
        cells = "".join(_cell(str(c), v) for c, v in zip(table.columns, values, strict=True))
        rows.append(f'<tr><th scope="row">{html.escape(str(place))}</th>{cells}</tr>')
    return (
        f'<div class="box" tabindex="0" role="region" aria-label="Table of {name}"><table><thead>'
        f'<tr><th scope="col">{html.escape(str(table.index.name))}</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _is_empty(column: pd.Series) -> bool:
    """Tell whether a column says nothing of any row."""
    return all(value == "" or (isinstance(value, float) and np.isnan(value)) for value in column)


SHARES = ("shut", "open", "|h| above 0.9", "share of the range")
"""What the columns end with whose values are shown in percent."""


def _cell(column: str, value: object) -> str:
    if isinstance(value, str):
        return f"<td>{html.escape(value)}</td>"
    number = float(value)  # type: ignore[arg-type]
    if np.isnan(number):
        told = "–"
    elif np.isinf(number):
        told = "never lost" if column.startswith("half-life") else "∞"
    elif column.endswith(SHARES):
        told = f"{number:.1%}" if number < 10 else f"{number:.2g} times"
    elif number == int(number) and abs(number) < 1e6:
        told = f"{int(number):,}"
    else:
        told = f"{number:.3g}"
    return f'<td class="number">{told}</td>'


def _explorer(seen: Evidence, title: str) -> str:
    """Return the explorer in a frame, or why there is none."""
    inputs = seen.sequence
    steps = {node.sizes["time"] for node in seen.nodes.values()}
    shown = inputs if inputs.ndim < 4 and inputs.shape[1] in steps else None
    first = inputs is keras.tree.flatten(seen.given.x)[0]  # which the words are of
    tokens = seen.given.tokens if shown is not None and first else None
    labels = seen.given.labels
    amounts = labels is not None and not are_classes(labels)
    if tokens is not None and shown is not None:
        shown = shown.astype(np.int64)
    try:
        page = explore(
            seen.traces,
            inputs=shown,
            tokens=tokens,
            labels=labels if labels is not None and labels.ndim == 1 and not amounts else None,
            targets=labels if amounts else None,
            model=seen.given.model,
            title=title,
        ).page
    except ValueError as error:
        return f"<p>The explorer cannot show these states: {html.escape(str(error))}.</p>"
    return in_frame(page, title="Explorer of states", attributes='loading="lazy"')
