"""What two reports were made from: parameters that differ, and all else that decides."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notebook_pipeline.flat import flattened
from notebook_pipeline.reports.readable import shown_parameters
from notebook_pipeline.repository import LOCK
from notebook_pipeline.stages.provenance import MADE_FROM, read_run
from notebook_pipeline.system.machine import class_difference

if TYPE_CHECKING:
    from nbformat import NotebookNode


@dataclass(frozen=True)
class Differing:
    """A parameter whose value differs.

    Attributes:
        name: The parameter's; that of another notebook with the notebook's before it.
        values: On both sides, as source code; None where a side doesn't have it.
        meaning: What the notebook says of it; may be empty.
    """

    name: str
    values: tuple[str | None, str | None]
    meaning: str


def compare_parameters(first: NotebookNode, second: NotebookNode) -> tuple[Differing, ...]:
    """Return the parameters that differ, in the order of the notebooks.

    They are those that the notebooks show, and those of other sections of params.yaml that the
    stages read.
    """
    a, b = ({one.name: one for one in shown_parameters(book)} for book in (first, second))
    meanings = {name: one.meaning for name, one in (a | b).items()}
    one, other = ({name: found.value for name, found in side.items()} for side in (a, b))
    return (*_differing(one, other, meanings), *_of_others(first, second, meanings.keys()))


def _of_others(first: NotebookNode, second: NotebookNode, own: Collection[str]) -> list[Differing]:
    """Return the parameters that differ of other sections, which the notebooks don't show."""
    found = []
    sections = [_made_from(book).get("parameters", {}) for book in (first, second)]
    for section in sorted(sections[0].keys() & sections[1].keys()):
        if not set(sections[0][section]) <= set(own):
            a, b = ({n: repr(v) for n, v in flattened(one[section], section)} for one in sections)
            found += _differing(a, b, {})
    return found


def _differing(
    first: Mapping[str, str], second: Mapping[str, str], meanings: Mapping[str, str]
) -> list[Differing]:
    names = dict.fromkeys((*first, *second))
    return [
        Differing(name, (first.get(name), second.get(name)), meanings.get(name, ""))
        for name in names
        if first.get(name) != second.get(name)
    ]


def other_causes(
    books: tuple[NotebookNode, NotebookNode], folders: tuple[Path, Path]
) -> tuple[str, ...]:
    """Say what differs besides parameters: data, code, installed packages, machine.

    Args:
        books: The reports of both sides, which hold digests of what they were made from.
        folders: Where they lie, with the records of their runs, if there are any.
    """
    a, b = (_made_from(book) for book in books)
    told = []
    for kind in ("data", "code"):
        one, other = a.get(kind, {}), b.get(kind, {})
        paths = sorted(path for path in one | other if one.get(path) != other.get(path))
        if paths and one and other:
            told.append(f"{kind}: {', '.join(paths)}")
    if a.get("environment") != b.get("environment"):
        told.append(f"packages: {LOCK}")
    machines = [_machine(book, folder) for book, folder in zip((a, b), folders, strict=True)]
    if machines[0] and machines[1] and (apart := class_difference(machines[0], machines[1])):
        told.append(f"machine, the first for the second: {apart}")
    return tuple(told)


def _made_from(book: NotebookNode) -> Mapping[str, Any]:
    made: Mapping[str, Any] = book.metadata.get(MADE_FROM, {})
    return made


def _machine(made: Mapping[str, Any], folder: Path) -> dict[str, Any] | None:
    """Return the class of machine of a report; None where the record is missing, or of another."""
    record = read_run(folder)
    known = record and record.get("key") == made.get("key")
    return record.get("machine") if record and known else None
