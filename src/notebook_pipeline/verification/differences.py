"""Describe the first difference between two outputs of the pipeline, and its size."""

from __future__ import annotations

import base64
import csv
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from notebook_pipeline.flat import flattened
from notebook_pipeline.verification.arrays import (
    Found,
    compare_pictures,
    compare_stores,
    compare_weights,
    gap,
)

SHOWN = 60
"""Characters of a line that are shown."""

BEFORE = 20
"""Of these, characters before the place where two lines part."""


@dataclass(frozen=True)
class Difference:
    """One place where two outputs are not the same.

    Attributes:
        place: The file and what is in it: a cell and its output, an array, a metric, a line.
        what: How the two differ, the size of the difference included.
        is_missing: Whether one of them isn't there at all.
    """

    place: str
    what: str
    is_missing: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


def differences(here: Path, clone: Path, name: str) -> Iterator[Difference]:
    """Yield the first difference in each file that differs, in the order of their names.

    Notebooks are compared cell by cell, JSON value by value, tables row by row, Zarr stores (a file
    here) and weights array by array, pictures by their pixels, everything else line by line. Files
    that say the same in other bytes differ too.

    Args:
        here: The file or folder that is there.
        clone: The same in the clone.
        name: What to call it, such as ``reports/sixes/report.ipynb``.
    """
    kinds = _kind(here), _kind(clone)
    if kinds[0] != kinds[1]:
        yield Difference(name, f"{kinds[0]} here, {kinds[1]} in the clone", is_missing=True)
    elif kinds[0] == "a folder" and here.suffix != ".zarr":
        for child in sorted({path.name for folder in (here, clone) for path in folder.iterdir()}):
            yield from differences(here / child, clone / child, f"{name}/{child}")
    elif (found := _first_difference(here, clone)) is not None:
        yield Difference(f"{name}{found[0]}", found[1])


def show_values(here: Any, clone: Any) -> str:
    """Show two values; numbers, also those in text, with how far they are apart."""
    try:
        return gap(float(here), float(clone))
    except (TypeError, ValueError):
        return f"{here!r} here, {clone!r} in the clone"


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "a file" if path.exists() else "missing"


def _first_difference(here: Path, clone: Path) -> tuple[str, str] | None:
    """Return the first place in a file, and what differs there; None where no byte does."""
    if here.is_dir():
        return next(itertools.chain(compare_stores(here, clone), _store_files(here, clone)), None)
    if here.read_bytes() == clone.read_bytes():
        return None
    compare = _COMPARISONS.get(here.suffix, _compare_texts)
    return next(itertools.chain(compare(here, clone), _compare_bytes(here, clone)))


def _store_files(here: Path, clone: Path) -> Found:
    """Yield the files of a Zarr store that differ though all values are the same."""
    names = {path.relative_to(store) for store in (here, clone) for path in store.rglob("*")}
    for name in sorted(name for name in names if not (here / name).is_dir()):
        for difference in differences(here / name, clone / name, ""):
            yield f"/{name}{difference.place}", difference.what


def _compare_bytes(here: Path, clone: Path) -> Found:
    a, b = here.read_bytes(), clone.read_bytes()
    at = next(
        (n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
    yield "", f"the same in other bytes, from byte {at} on; {len(a)} here, {len(b)} in the clone"


# nbdime lists the edits that turn one notebook into the other. Two runs of one notebook have the
# same cells: what counts is how large the first difference is, in numbers or in pixels.
def _compare_notebooks(here: Path, clone: Path) -> Found:
    notebooks = [nbformat.read(path, as_version=4) for path in (here, clone)]
    for number, (a, b) in enumerate(_pairs(*(book.cells for book in notebooks)), start=1):
        place = f", cell {number}"
        if a is None or b is None:
            yield place, "only here" if b is None else "only in the clone"
            continue
        for at, line in _lines(a.source, b.source):
            yield f"{place}, source{at}", line
        for which, (x, y) in enumerate(_pairs(a.get("outputs", ()), b.get("outputs", ())), start=1):
            yield from _compare_outputs(f"{place}, output {which}", x, y)
        rest = [{**cell, "source": "", "outputs": []} for cell in (a, b)]
        yield from _compare_values(f"{place}, ", *rest)
    yield from _compare_values(", metadata ", *(book.metadata for book in notebooks))


def _compare_outputs(place: str, here: Any, clone: Any) -> Found:
    """Yield what differs between two outputs of a cell: pictures by pixels, texts by lines."""
    if here is None or clone is None:
        yield place, "only here" if clone is None else "only in the clone"
        return
    a, b = (dict(flattened(output)) for output in (here, clone))
    for key in dict.fromkeys([*a, *b]):
        x, y = a.get(key), b.get(key)
        if x == y:
            continue
        if key == "data.image/png" and x and y:
            what = compare_pictures(*(base64.b64decode(data) for data in (x, y)))
            yield f"{place}, picture", what or "the same pixels in other bytes"
        elif isinstance(x, str) and isinstance(y, str):
            yield from ((f"{place}, {key}{at}", line) for at, line in _lines(x, y))
        else:
            yield f"{place}, {key}", show_values(x, y)


def _compare_documents(here: Path, clone: Path) -> Found:
    yield from _compare_values(
        ", ", *(json.loads(path.read_text(encoding="utf-8")) for path in (here, clone))
    )


def _compare_values(place: str, here: Any, clone: Any) -> Found:
    """Yield the values that differ between two pieces of nested JSON."""
    a, b = dict(flattened(here)), dict(flattened(clone))
    for key in dict.fromkeys([*a, *b]):
        if key not in a or key not in b:
            yield f"{place}{key}", "only here" if key in a else "only in the clone"
        elif a[key] != b[key] and not (a[key] != a[key] and b[key] != b[key]):  # NaN both
            yield f"{place}{key}", show_values(a[key], b[key])


def _compare_pictures(here: Path, clone: Path) -> Found:
    if what := compare_pictures(here.read_bytes(), clone.read_bytes()):
        yield "", what


def _compare_tables(here: Path, clone: Path) -> Found:
    tables = [
        list(csv.reader(path.read_text(encoding="utf-8").splitlines())) for path in (here, clone)
    ]
    columns = tables[0][0] if tables[0] else []
    for number, (a, b) in enumerate(_pairs(*tables), start=1):
        if a is None or b is None or len(a) != len(b):
            yield f", row {number}", f"{a} here, {b} in the clone"
            continue
        for column, x, y in zip(columns, a, b, strict=False):
            if x != y:
                yield f", row {number}, column {column}", show_values(x, y)


def _compare_texts(here: Path, clone: Path) -> Found:
    try:
        a, b = (path.read_bytes().decode() for path in (here, clone))
    except UnicodeDecodeError:
        return
    yield from _lines(a, b)


def _lines(here: str, clone: str) -> Found:
    """Yield the first line that differs, from a little before where the two part."""
    lines = _pairs(*(text.splitlines(keepends=True) for text in (here, clone)))
    differing = [
        (number, *pair) for number, pair in enumerate(lines, start=1) if pair[0] != pair[1]
    ]
    if not differing:
        return
    number, a, b = differing[0]
    parted = next((at for at, (x, y) in enumerate(_pairs(a or "", b or "")) if x != y), 0)
    start = max(0, parted - BEFORE)
    shown = ["no line" if x is None else repr(x[start : start + SHOWN]) for x in (a, b)]
    more = f"; {len(differing)} lines differ" if len(differing) > 1 else ""
    yield f", line {number}", f"{shown[0]} here, {shown[1]} in the clone{more}"


def _pairs(here: Any, clone: Any) -> Iterator[tuple[Any, Any]]:
    """Pair what two sequences hold; None where one has come to its end."""
    return itertools.zip_longest(here, clone)


_COMPARISONS: Mapping[str, Callable[[Path, Path], Found]] = {
    ".ipynb": _compare_notebooks,
    ".json": _compare_documents,
    ".h5": compare_weights,
    ".png": _compare_pictures,
    ".csv": _compare_tables,
}
