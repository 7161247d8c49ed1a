"""Prepare HTML tables in outputs for a report."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bs4 import BeautifulSoup

if TYPE_CHECKING:
    from bs4 import Tag

_NUMBER = re.compile(
    r"^[<>≤≥≈~±+\-\u2212]*\s*[\d.][\d\s.,:e+\-\u2212±\u2013x\u00d7/()\[\]%\u2009\u202f]*\s*[a-zA-Zµ%]{0,3}$"
    r"|^(nan|inf|-inf|[-\u2013\u2014]?)$",
    re.IGNORECASE,
)


def tidy_tables(html: str) -> str:
    """Aligns the columns of tables by what they hold, and lets wide tables scroll alone.

    The fixed style that pandas writes into every DataFrame is removed, and cells of columns that
    hold anything but numbers get the class `text`. Styles of a pandas Styler stay.

    Args:
        html: An HTML fragment, from an output or from rendered Markdown.

    Returns:
        The fragment, each table in a `<div class="table">`; unchanged where there is no table.
    """
    if "<table" not in html:
        return html
    soup = BeautifulSoup(html, "html.parser")
    for style in soup.find_all("style", attrs={"scoped": True}):
        style.decompose()
    for table in soup.find_all("table"):
        if table.find_parent("table") is None:
            _tidy_table(soup, table)
    return str(soup)


def _tidy_table(soup: BeautifulSoup, table: Tag) -> None:
    """Aligns one table and puts it into its own box, in place."""
    del table["border"]
    for row in table.select("tr[style]"):
        del row["style"]
    for column in _text_columns(table):
        for row in table.find_all("tr"):
            cells = row.find_all(["td", "th"], recursive=False)
            if column < len(cells) and not row.find(colspan=True):
                classes = cells[column].get_attribute_list("class")
                cells[column]["class"] = " ".join([*filter(None, classes), "text"])
    box = soup.new_tag("div", attrs={"class": "table", "role": "region", "tabindex": "0"})
    box["aria-label"] = table.caption.get_text(" ", strip=True) if table.caption else "Table"
    table.wrap(box)


def _text_columns(table: Tag) -> list[int]:
    """Positions of the columns that hold something else than numbers."""
    rows = table.select("tbody > tr") or table.find_all("tr")
    cells = [row.find_all(["td", "th"], recursive=False) for row in rows]
    width = max(map(len, cells), default=0)
    full = [row for row in cells if len(row) == width]
    columns = zip(*full, strict=True)
    return [i for i, column in enumerate(columns) if not all(map(_is_number, column))]


def _is_number(cell: Tag) -> bool:
    """Whether a cell holds a number, perhaps with a unit or an interval, or nothing."""
    return bool(_NUMBER.match(cell.get_text(" ", strip=True)))
