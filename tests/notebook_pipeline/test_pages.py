"""The pages while stages fail: they are made of what there is, and say what is not."""

import pytest
from bs4 import BeautifulSoup

from tests.toy_clone import make_toy

pytestmark = pytest.mark.slow

PROJECT = "src/toy/project.py"


@pytest.fixture(scope="module")
def copy(toy):
    """The toy with outputs that are links into DVC's cache."""
    toy.run("dvc", "config", "cache.type", "hardlink")
    toy.run("dvc", "checkout", "--relink")
    return toy


@pytest.fixture
def pages(copy):
    """The bytes of both pages and of DVC's cache; all of them must be there after."""
    kept = {
        path: path.read_bytes()
        for path in (
            *(copy.path / "reports").glob("*.html"),
            *(path for path in (copy.path / ".dvc/cache").rglob("*") if path.is_file()),
        )
    }
    assert (copy.path / "reports/index.html").stat().st_nlink == 2
    yield
    copy.run("git", "checkout", "--", "notebooks", PROJECT)
    copy.call("repro")
    assert {path: path.read_bytes() for path in kept} == kept
    assert "up to date" in copy.run("dvc", "status")


def read(copy, page):
    text = (copy.path / "reports" / page).read_text(encoding="utf-8")
    return BeautifulSoup(text, "html.parser")


def missing(copy, page):
    """What a page says that is missing, its links checked."""
    items = read(copy, page).select("li.missing")
    for link in (link["href"] for item in items for link in item.select("a")):
        assert (copy.path / "reports" / link).is_file(), link
    return [item.get_text() for item in items]


def answers(copy, page):
    """Of which notebooks a page has an answer."""
    items = read(copy, page).select("li:not(.missing)")
    return [item.get_text().partition(":")[0] for item in items]


def test_a_failed_notebook_is_missing_and_all_else_is_there(copy, pages):
    copy.insert("timing", "raise RuntimeError('no luck')", at=2)  # before imports, which take time
    index, lock = (copy.path / name for name in ("reports/index.html", "dvc.lock"))
    page, locked = index.read_bytes(), lock.read_bytes()

    printed = copy.run("dvc", "repro", "--keep-going", ok=False)
    assert "skipped due to this failure" in printed
    assert index.read_bytes() == page  # DVC leaves it as it was, and says so

    printed = copy.call("index", ok=False)
    assert printed == (
        "wrote reports/index.html\n"
        "python -m notebook_pipeline: reports/index.html was made without trial@timing, "
        "which has no report\n"
    )
    assert missing(copy, "index.html") == [
        "trial@timing has no report: the notebook of its last attempt, an older report"
    ]

    printed = copy.call("repro", ok=False)
    start = "python -m notebook_pipeline: trial@timing failed. Its log ends with:\n"
    told = printed[printed.index(start) :]
    assert "RuntimeError: no luck" in told
    *_, left_out, made = told.split("\n\n")
    assert sorted(left_out.splitlines()) == [
        f"{stage}: skipped: needs trial@timing" for stage in ("answers", "index", "pages")
    ]
    assert made == (
        "reports/answers.html shows what exists and names what is missing\n"
        "reports/index.html shows what exists and names what is missing\n"
    )
    expected = [
        "trial@timing failed: its log, the notebook of its last attempt, an older report",
        "pages skipped: needs trial@timing: ",
    ]
    for name in ("index.html", "answers.html"):
        assert sorted(missing(copy, name)) == sorted(expected)
        assert answers(copy, name) == ["walk", "double"]
    assert lock.read_bytes() == locked

    printed = copy.call("status", ok=False)
    assert "trial@timing: has changed since it ran: notebooks/03_timing.ipynb" in printed
    assert "trial@timing: its last attempt failed or is still running: see reports/" in printed
    assert "index: reports/index.html does not match dvc.lock" in printed
    printed = copy.call("verify", ok=False)
    assert "nothing to compare with" in printed


def write_without(copy, without):
    """Call `write_pages` with the toy's own code, and return its lines."""
    code = (
        "from pathlib import Path; from notebook_pipeline.repro.partial_pages import write_pages; "
        "from notebook_pipeline.stages.states import notebook_stages; root = Path.cwd(); "
        f"print(*write_pages(root, {without!r}, notebook_stages(root)), sep='\\n')"
    )
    return copy.run("python", "-c", code).splitlines()


def test_an_older_report_does_not_pass_as_one_of_this_run(copy, pages):
    left_out = dict.fromkeys(["trial@double", "pages", "answers", "index"], "needs walk")
    told = write_without(copy, {"walk": "failed"} | left_out)
    assert len(told) == 2
    assert answers(copy, "index.html") == answers(copy, "answers.html") == ["timing"]
    assert missing(copy, "index.html")[1] == "trial@double needs walk: an older report"


def test_a_page_that_cannot_be_made_is_taken_away(copy, pages):
    path = copy.path / PROJECT
    code = path.read_text(encoding="utf-8")
    head = "def _write_answers(root: Path, missing: Sequence[Missing]) -> Path:\n"
    path.write_text(code.replace(head, f"{head}    raise OSError('no ink')\n"), encoding="utf-8")
    answers_page, index = write_without(copy, {"answers": "failed"})
    assert answers_page == "reports/answers.html can't be made: no ink"
    assert index == "reports/index.html shows what exists and names what is missing"
    assert not (copy.path / "reports/answers.html").exists()
    assert read(copy, "index.html").select("a[href='answers.html']") == []
    assert missing(copy, "index.html")[0].startswith("answers can't be made: no ink")


@pytest.mark.parametrize("page", ["answers", "index"])
def test_where_there_is_no_report_no_page_is_made(tmp_path, page):
    other = make_toy(tmp_path / "other")
    printed = other.call(page, ok=False)
    assert printed == (
        "python -m notebook_pipeline: no report is up to date; `dvc repro` makes them\n"
    )
    assert other.run("git", "status", "--porcelain") == ""
