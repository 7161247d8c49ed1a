"""The page that lists what is traced names tests that exist, and every case of coverage."""

import importlib
import re

from tests.repository import ROOT

PAGE = ROOT / "docs" / "coverage.md"
LINK = re.compile(r"\[`(\w+)(?:\[(.+?)\])?`\]\(\.\./(tests/[\w/]+)\.py\)")


def cases_of(module):
    """Return ``(function, case)`` of all tests in ``module``; the case is None without names."""
    for name, function in vars(module).items():
        if not name.startswith("test_"):
            continue
        marks = getattr(function, "pytestmark", [])
        values = [v for mark in marks if mark.name == "parametrize" for v in mark.args[1]]
        named = [value for value in values if isinstance(value, str)]
        yield from ((name, case) for case in named or [None])


def test_every_test_named_on_the_page_exists_and_no_case_is_left_out():
    text = PAGE.read_text(encoding="utf-8")
    links = LINK.findall(text)
    assert len(links) == text.count("](../tests/") > 70
    files = {file for *_, file in links}
    existing = {
        file: set(cases_of(importlib.import_module(file.replace("/", ".")))) for file in files
    }
    for name, case, file in links:
        assert (name, case or None) in existing[file], f"{PAGE.name} names {name}[{case}] of {file}"
    main = "tests/lstm_states/traces/test_coverage"
    assert existing[main] == {(name, case or None) for name, case, file in links if file == main}
