"""Texts are UTF-8 whatever the locale: every read, write and pipe of text names its encoding."""

import ast

import nbformat
import pytest

from tests.repository import ROOT

OPENS = {"open", "fdopen", "NamedTemporaryFile", "TemporaryFile"}
NO_TEXT = {"os.open", "Image.open"}


def sources():
    for folder in ("src", "tests", "bench"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if ".env" not in path.parts:  # what `make bench-env` installs
                yield path, path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        yield path, "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def nameless(source):
    """The calls in ``source`` that read or write text in whichever encoding the locale has."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        options = {option.arg: option.value for option in call.keywords}
        full = ast.unparse(call.func)
        name = full.rpartition(".")[2]
        given = [v.value for v in (*call.args, *options.values()) if isinstance(v, ast.Constant)]
        modes = [word for word in given if isinstance(word, str) and set(word) <= set("rwaxbt+")]
        is_text = (
            name in {"read_text", "write_text", "TextIOWrapper"}
            or any(
                getattr(options.get(o), "value", 0) is True for o in ("text", "universal_newlines")
            )
            or (name in OPENS and full not in NO_TEXT and not any("b" in mode for mode in modes))
        )
        if is_text and "encoding" not in options:
            yield f"line {call.lineno}: {ast.unparse(call)}"


def test_every_text_names_its_encoding():
    assert [f"{path}, {call}" for path, text in sources() for call in nameless(text)] == []


@pytest.mark.parametrize(
    "call",
    [
        "path.read_text()",
        "path.write_text(words)",
        "open(path)",
        "path.open('a')",
        "os.fdopen(stream, 'w', 1)",
        "subprocess.run(command, text=True)",
        "tempfile.NamedTemporaryFile('w')",
    ],
)
def test_a_call_without_is_found(call):
    assert list(nameless(f"x = 1\n{call}\n")) == [f"line 2: {call}"]
    assert list(nameless(f"{call[:-1]}, encoding='utf-8')".replace("(, ", "("))) == []


@pytest.mark.parametrize("call", ["path.open('wb')", "os.open(p, 1)", "subprocess.run(command)"])
def test_bytes_need_none(call):
    assert list(nameless(call)) == []
