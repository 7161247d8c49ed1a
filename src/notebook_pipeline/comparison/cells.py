"""The cells of two executed notebooks: aligned, with the differences of sources and outputs."""

from __future__ import annotations

import base64
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bs4 import BeautifulSoup

from notebook_pipeline.comparison.figures import compare_pictures
from notebook_pipeline.comparison.texts import Line, difference, only
from notebook_pipeline.reports.readable import has_tag

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from notebook_pipeline.comparison.figures import Pair

ALIKE = 0.5
"""How alike the sources of two cells must be to be versions of one cell."""

FOLDED = 30
"""Lines of a difference beyond which it is folded."""

FIRST_LINE = 60
"""Signs of a cell's first line that are shown."""


@dataclass(frozen=True)
class Part:
    """What differs in one part of a cell.

    Attributes:
        what: "source" or "output".
        lines: The difference of the texts.
    """

    what: str
    lines: tuple[Line, ...]

    @property
    def is_long(self) -> bool:
        """Whether it is to be folded."""
        return len(self.lines) > FOLDED


@dataclass(frozen=True)
class Cell:
    """A cell that differs.

    Attributes:
        place: Its numbers on both sides, such as "cell 4" or "cell 4, now 5"; or whose it is alone.
        first_line: The beginning of its source.
        parts: What differs in its texts.
        pictures: Those of its outputs that differ.
    """

    place: str
    first_line: str
    parts: tuple[Part, ...]
    pictures: tuple[Pair, ...]


def compare_cells(first: NotebookNode, second: NotebookNode) -> Iterator[Cell]:
    """Yield the cells that differ, in the order of the notebooks.

    Cells are aligned by their sources: the ids of a report only number its cells. The cell that
    sets the parameters of a run is left out, as these are compared on their own.
    """
    a, b = (_numbered(notebook) for notebook in (first, second))
    for one, other in _aligned(a, b):
        if one is None or other is None:
            yield _alone(one, other)
        elif (cell := _difference(one, other)) is not None:
            yield cell


Numbered = tuple[int, "NotebookNode"]
"""A cell with its place in the notebook, counted from 1."""


def _numbered(notebook: NotebookNode) -> list[Numbered]:
    cells = enumerate(notebook.cells, start=1)
    return [(number, cell) for number, cell in cells if not has_tag(cell, "injected-parameters")]


def _aligned(
    first: Sequence[Numbered], second: Sequence[Numbered]
) -> Iterator[tuple[Numbered | None, Numbered | None]]:
    """Pair cells of equal source, and between them those that are most alike."""
    a, b = ([(cell.cell_type, cell.source) for _, cell in cells] for cells in (first, second))
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    for kind, i, j, k, l in matcher.get_opcodes():  # noqa: E741
        if kind == "equal":
            yield from zip(first[i:j], second[k:l], strict=True)
        else:
            yield from _most_alike(first[i:j], second[k:l])


def _most_alike(
    first: Sequence[Numbered], second: Sequence[Numbered]
) -> list[tuple[Numbered | None, Numbered | None]]:
    """Pair cells in their order such that the sum of likeness is largest; others stay alone."""
    # best[i, j] is the best of the cells from i and from j on: the sum, and its pairs.
    best: dict[tuple[int, int], tuple[float, list[tuple[Numbered | None, Numbered | None]]]] = {}
    for i in range(len(first), -1, -1):
        for j in range(len(second), -1, -1):
            choices = []
            if i < len(first) and j < len(second):
                likeness = _likeness(first[i][1], second[j][1])
                rest, pairs = best[i + 1, j + 1]
                if likeness >= ALIKE:
                    choices.append((likeness + rest, [(first[i], second[j]), *pairs]))
            if i < len(first):
                rest, pairs = best[i + 1, j]
                choices.append((rest, [(first[i], None), *pairs]))
            if j < len(second):
                rest, pairs = best[i, j + 1]
                choices.append((rest, [(None, second[j]), *pairs]))
            best[i, j] = max(choices, key=lambda choice: choice[0], default=(0.0, []))
    return best[0, 0][1]


def _likeness(first: NotebookNode, second: NotebookNode) -> float:
    if first.cell_type != second.cell_type:
        return 0.0
    if first.source.startswith("#") and _first_line(first) == _first_line(second):
        return 1.0  # a section keeps its heading
    return difflib.SequenceMatcher(None, first.source, second.source, autojunk=False).ratio()


def _alone(first: Numbered | None, second: Numbered | None) -> Cell:
    """Return a cell that one side alone has."""
    number, cell = first or second  # type: ignore[misc]
    sign, whose = ("-", "taken away") if first else ("+", "added")
    texts = {"source": cell.source, "output": _text(cell)}
    parts = [Part(what, only(text, sign)) for what, text in texts.items() if text.strip()]
    return Cell(f"cell {number}, {whose}", _first_line(cell), tuple(parts), ())


def _difference(first: Numbered, second: Numbered) -> Cell | None:
    """Return what differs between two versions of a cell; None if nothing does."""
    (number, a), (now, b) = first, second
    texts = {"source": (a.source, b.source), "output": (_text(a), _text(b))}
    parts = [Part(what, lines) for what, pair in texts.items() if (lines := difference(*pair))]
    pictures = compare_pictures(_pictures(a), _pictures(b)).differing
    if not parts and not pictures:
        return None
    place = f"cell {number}" if number == now else f"cell {number}, now {now}"
    return Cell(place, _first_line(b), tuple(parts), pictures)


def _first_line(cell: NotebookNode) -> str:
    lines = [line for line in cell.source.splitlines() if line.strip()]
    line = lines[0] if lines else ""
    return line if len(line) <= FIRST_LINE else f"{line[: FIRST_LINE - 1]}…"


def _text(cell: NotebookNode) -> str:
    """Return all that the outputs of a cell say, without its pictures."""
    said = (_said(output) for output in cell.get("outputs", ()))
    return "\n".join(text.rstrip("\n") for text in said if text)


def _said(output: NotebookNode) -> str:
    """Return what an output says: the form that a report shows, its tables row by row."""
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return "\n".join(output.traceback)
    data = output.data
    if "text/html" in data:
        return _plain(data["text/html"])
    if "text/markdown" in data:
        return str(data["text/markdown"])
    if any(kind.startswith("image/") for kind in data):  # its text only names the object
        return str(data.get("image/svg+xml", ""))
    return str(data.get("text/plain", ""))


def _plain(html: str) -> str:
    """Return what HTML says, a row of a table in a line."""
    soup = BeautifulSoup(html, "html.parser")
    for hidden in soup.find_all(["style", "script"]):
        hidden.decompose()
    for row in soup.find_all("tr"):
        cells = [cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])]
        row.replace_with(f"{' | '.join(cells)}\n")
    lines = (line.strip() for line in soup.get_text("\n").splitlines())
    return "\n".join(line for line in lines if line)


def _pictures(cell: NotebookNode) -> dict[str, bytes]:
    shown = [
        o.data["image/png"] for o in cell.get("outputs", ()) if "image/png" in o.get("data", {})
    ]
    names = (f"picture {at}" for at in range(1, len(shown) + 1))
    return dict(zip(names, map(base64.b64decode, shown), strict=False))
