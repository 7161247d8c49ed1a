"""Two texts as one: lines that were taken away and added, with the words that differ marked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

AROUND = 2
"""Lines shown before and after a change."""

ALIKE = 0.4
"""How alike two lines must be for their words to be compared."""

LONGEST = 2000
"""Lines of a text that are compared."""

_WORDS = re.compile(r"\w+|\s+|.")

Parts = tuple[tuple[str, bool], ...]
"""Pieces of a line, each with whether it differs from the other side's line."""


@dataclass(frozen=True)
class Line:
    """A line of a difference.

    Attributes:
        sign: "-" of the first text alone, "+" of the second alone, " " of both, "…" for left out.
        parts: Its pieces.
    """

    sign: str
    parts: Parts = ()


def difference(first: str, second: str) -> tuple[Line, ...]:
    """Return the lines that differ between two texts, with some around them; none if none does."""
    a, b = first.splitlines(), second.splitlines()
    matcher = difflib.SequenceMatcher(None, a[:LONGEST], b[:LONGEST], autojunk=False)
    found: list[Line] = []
    for group in matcher.get_grouped_opcodes(AROUND):
        if found or group[0][1] > 0:
            found.append(Line("…"))
        for kind, i, j, k, l in group:  # noqa: E741
            found += _context(a[i:j]) if kind == "equal" else _changed(a[i:j], b[k:l])
    if a[LONGEST:] != b[LONGEST:]:
        found.append(Line("…", ((f"only the first {LONGEST} lines are compared", False),)))
    return tuple(found)


def only(text: str, sign: str) -> tuple[Line, ...]:
    """Return all lines of a text that one side alone has."""
    return tuple(Line(sign, ((line, False),)) for line in text.splitlines()[:LONGEST])


def _context(lines: Sequence[str]) -> Iterator[Line]:
    yield from (Line(" ", ((line, False),)) for line in lines)


def _changed(first: Sequence[str], second: Sequence[str]) -> Iterator[Line]:
    """Yield lines taken away and lines added; words are marked where lines pair up."""
    pairs = [_marked(a, b) for a, b in zip(first, second, strict=False)]
    taken = [pair[0] for pair in pairs] + [((line, False),) for line in first[len(pairs) :]]
    added = [pair[1] for pair in pairs] + [((line, False),) for line in second[len(pairs) :]]
    yield from (Line("-", parts) for parts in taken)
    yield from (Line("+", parts) for parts in added)


def _marked(first: str, second: str) -> tuple[Parts, Parts]:
    """Split two lines where they differ; into nothing if they have little in common."""
    a, b = _WORDS.findall(first), _WORDS.findall(second)
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    if matcher.ratio() < ALIKE:
        return ((first, False),), ((second, False),)
    codes = matcher.get_opcodes()
    return (
        tuple(("".join(a[i:j]), kind != "equal") for kind, i, j, _, _ in codes if j > i),
        tuple(("".join(b[i:j]), kind != "equal") for kind, _, _, i, j in codes if j > i),
    )
