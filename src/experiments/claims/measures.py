"""Whether code keeps each measure of claims.yaml: ``python -m experiments.claims.measures``.

A claim whose measure is misspelt would stay undecided, which would be seen after the whole run. So
code is read, not run: a measure is named by a key of a dictionary or by an argument. Where an
f-string names it, what is filled in must be a number, or words that stand in that code, too.
"""

from __future__ import annotations

import ast
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import nbformat

from experiments.claims.rules import Claim, load_ledger
from notebook_pipeline.errors import UserError
from notebook_pipeline.parameters.cell import parse_cell
from notebook_pipeline.repository import find_notebook, project_root

READERS = ("expect", "require")
"""Methods whose dictionaries name measures that were kept elsewhere."""


def main() -> int:
    """Print what is misspelt and return how many measures are."""
    root = project_root()
    claims = load_ledger(root / "claims.yaml").claims
    notebooks = dict.fromkeys(claim.notebook for claim in claims.values())
    found = []
    for notebook in notebooks:
        try:
            kept = Measures(_code_of(notebook, root))
        except UserError as error:
            found.append(f"claims.yaml: {error}")
            continue
        for number, claim in claims.items():
            if claim.notebook == notebook:
                found += [f"claims.yaml, claim {number}: {told}" for told in _unkept(claim, kept)]
    for problem in found:
        print(problem, file=sys.stderr)
    return len(found)


def _unkept(claim: Claim, kept: Measures) -> Iterator[str]:
    names = [test.measure for test in claim.tests]
    names += [measure for entry in claim.published for measure in entry.beside]
    for name in dict.fromkeys(names):
        if not kept.has(name):
            near = difflib.get_close_matches(name, kept.names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield f"{claim.notebook} keeps no measure {name!r}{hint}"


def _code_of(notebook: str, root: Path) -> Iterator[ast.Module]:
    """Yield the code of a notebook and of the folders of ``experiments`` that it imports from."""
    path = find_notebook(notebook, root)
    cells = nbformat.read(path, as_version=4).cells
    code = [parse_cell(cell.source, path.name) for cell in cells if cell.cell_type == "code"]
    yield from code
    for folder in sorted({folder for cell in code for folder in _folders_used(cell)}):
        for file in sorted((root / "src/experiments" / folder).glob("*.py")):
            yield ast.parse(file.read_text(encoding="utf-8"))


def _folders_used(code: ast.Module) -> Iterator[str]:
    for node in ast.walk(code):
        match node:
            case ast.ImportFrom(module=str(module)) if module.startswith("experiments."):
                yield module.split(".")[1]


class Measures:
    """The measures that code can keep.

    Attributes:
        names: Those that stand in it as they are.
    """

    def __init__(self, code: Iterable[ast.Module]) -> None:
        nodes = [node for module in code for node in _outside_readers(module)]
        keys = [key for node in nodes for key in _named_by(node)]
        self.names = {str(key.value) for key in keys if isinstance(key, ast.Constant)}
        self._templates = set(filter(_says_something, map(_parts, keys)))
        # What is filled in may have been filled in itself, as "ridge" was in "centered ridge".
        self._words = {_joined(str(n.value)) for n in nodes if isinstance(n, ast.Constant)}
        self._phrases = set(filter(_says_something, map(_parts, nodes)))

    def has(self, measure: str) -> bool:
        """Whether the code can keep a measure of this name."""
        return measure in self.names or any(
            _fits(measure, template, self._is_phrase) for template in self._templates
        )

    def _is_phrase(self, text: str) -> bool:
        return self._is_word(text) or any(
            _fits(text, phrase, self._is_word) for phrase in self._phrases
        )

    def _is_word(self, text: str) -> bool:
        return text.isdigit() or text in self._words


def _outside_readers(code: ast.Module) -> Iterator[ast.AST]:
    """Yield the nodes of a module but those within a call of what only reads measures."""
    waiting: list[ast.AST] = [code]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in READERS:
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def _named_by(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what may name a measure at a node: keys and names of arguments."""
    match node:
        case ast.Dict(keys=keys):
            yield from filter(None, keys)
        case ast.DictComp(key=key) | ast.Assign(targets=[ast.Subscript(slice=key)]):
            yield key
        case ast.keyword(arg=str(name)):
            yield ast.Constant(name)


def _parts(text: ast.AST) -> tuple[str, ...]:
    """Return what is written in an f-string, empty where something is filled in."""
    if not isinstance(text, ast.JoinedStr):
        return ()
    return tuple(_joined(str(p.value)) if isinstance(p, ast.Constant) else "" for p in text.values)


def _says_something(parts: tuple[str, ...]) -> bool:
    return len("".join(parts)) > 3


def _fits(text: str, parts: tuple[str, ...], is_filled: Callable[[str], bool]) -> bool:
    """Whether ``text`` is made of the parts of an f-string."""
    if not parts:
        return not text
    first, *rest = parts
    if first:
        return text.startswith(first) and _fits(text[len(first) :], tuple(rest), is_filled)
    return any(
        _fits(text[end:], tuple(rest), is_filled) and is_filled(text[:end])
        for end in range(len(text) + 1)
    )


def _joined(text: str) -> str:
    """Return words as they stand in names: "centered ridge" as "centered_ridge"."""
    return re.sub(r"\W+", "_", text)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
