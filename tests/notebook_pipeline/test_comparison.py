"""States of the toy side by side: revisions, DVC experiments, MLflow runs, folders."""

import json
import shutil

import pytest
from bs4 import BeautifulSoup

from notebook_pipeline.reports.page import external_resources
from tests.toy_clone import copy_toy

pytestmark = pytest.mark.slow

PAGE = "reports/comparison.html"
COMMAND = "python -m notebook_pipeline"


@pytest.fixture(scope="module")
def changed(toy_that_ran, tmp_path_factory):
    """A toy with a DVC experiment, `short`, that its work tree holds, too."""
    toy = copy_toy(toy_that_ran, tmp_path_factory.mktemp("changed") / "toy")
    toy.run("dvc", "exp", "run", "--name", "short", "--set-param", "walk.steps=20")
    return toy


@pytest.fixture
def own_changed(changed, tmp_path):
    """A copy of it, which a test may spoil."""
    return copy_toy(changed.path, tmp_path / "toy")


def page_of(toy, *arguments, ok=True):
    """Call the command; return what it printed, and its page."""
    printed = toy.call("compare", *arguments, ok=ok)
    text = (toy.path / PAGE).read_text(encoding="utf-8")
    assert external_resources(text) == []
    assert str(toy.path) not in text
    return printed, BeautifulSoup(text, "html.parser")


def rows(soup, about, at=0):
    """The cells of a table by its name, without its heads."""
    table = soup.select(f'[aria-label="{about}"]')[at]
    return [[cell.get_text(" ", strip=True) for cell in row.select("th, td")]
            for row in table.select("tbody tr")]  # fmt: skip


def heads(soup, about):
    return [head.get_text(strip=True) for head in soup.select(f'[aria-label="{about}"] thead th')]


def sections(soup):
    return [head.get_text(strip=True) for head in soup.select("h2, h3")]


def evidence(folder, name, measure):
    text = (folder / "reports" / name / "evidence.json").read_text(encoding="utf-8")
    [value] = json.loads(text)[measure]["values"].values()
    return value


def run_of(toy, name):
    """The id of the run of the report that lies in a toy."""
    path = toy / "reports" / name / "run.json"
    return json.loads(path.read_text(encoding="utf-8"))["run"]


def test_what_has_not_changed_is_the_same(toy):
    printed, soup = page_of(toy)
    names = ("double", "timing", "walk")
    assert printed == f"wrote {PAGE}\n" + "".join(f"{name}: the same\n" for name in names)
    assert [row[1] for row in rows(soup, "Notebooks")] == ["the same"] * 3
    assert sections(soup) == []
    commit = toy.run("git", "rev-parse", "--short=7", "HEAD").strip()
    assert rows(soup, "What is compared") == [
        ["HEAD", "revision", commit],
        ["work tree", "work tree at this commit", commit],
    ]
    assert PAGE not in toy.run("git", "status", "--porcelain", "--untracked-files=all")


def test_a_changed_parameter_and_all_that_follows_from_it(changed, toy_that_ran):
    printed, soup = page_of(changed)
    assert printed.splitlines()[1:] == [
        "double: 1 measure, 1 cell, expectations.json",
        "timing: the same",
        "walk: 1 parameter, 2 measures, 1 number, 2 curves, 1 figure, 3 cells, "
        "expectations.json, plots/learning_curves.csv",
    ]
    found = sections(soup)
    assert found[found.index("walk") :] == [
        "walk", "Parameters that differ", "Measures", "Numbers of metrics.json", "Curves",
        "Figures", "Cells that differ", "Other outputs that differ",
    ]  # fmt: skip
    assert rows(soup, "Parameters") == [["steps", "30", "20", "how many"]]
    first, second = (evidence(f, "walk", "moved") for f in (toy_that_ran, changed.path))
    row = ["Distance, walk", f"{first:.4g}", f"{second:.4g}", f"{second - first:+.3g}"]
    assert row in rows(soup, "measure", at=1)
    assert heads(soup, "measure")[1:3] == ["HEAD", "work tree"]
    words = soup.select_one("#walk-1").find_next("details", class_="cell").get_text()
    assert "Question" not in words
    links = [link["href"] for link in soup.select("a")]
    assert links == ["#double-1", "#walk-1"]
    assert all(soup.select_one(link) for link in links)


def test_a_dvc_experiment_is_what_the_work_tree_holds(changed):
    printed, soup = page_of(changed, "short")
    assert {line.partition(": ")[2] for line in printed.splitlines()[1:]} == {"the same"}
    assert [row[1] for row in rows(soup, "What is compared")] == [
        "DVC experiment", "work tree at this commit",
    ]  # fmt: skip


def test_three_sides(changed):
    printed, soup = page_of(changed, "short", "HEAD", "reports", "--name", "walk")
    assert printed.splitlines()[1:] == [
        "HEAD: walk: 1 parameter, 2 measures, 1 number, 2 curves, 1 figure, 3 cells, "
        "expectations.json, plots/learning_curves.csv",
        "work tree: walk: the same",
    ]
    assert heads(soup, "Notebooks") == ["notebook", "HEAD", "work tree"]
    assert rows(soup, "Parameters") == [["steps", "20", "30", "how many"]]
    assert sections(soup)[0] == "walk: short beside HEAD"


def test_mlflow_runs_by_id_and_name(changed, toy_that_ran):
    before, after = (run_of(folder, "walk") for folder in (toy_that_ran, changed.path))
    name = changed.client().get_run(after).info.run_name
    assert name.endswith(" short")
    printed, soup = page_of(changed, before[:8], name)
    assert printed.splitlines()[1].startswith("walk: 1 parameter, 2 measures, 1 number, 2 curves")
    assert rows(soup, "What is compared")[1][:2] == [name, "MLflow run"]
    assert rows(soup, "Parameters") == [["steps", "30", "20", "how many"]]
    printed, _ = page_of(changed, after, "short")  # a run beside all notebooks of an experiment
    assert printed.splitlines()[1:] == ["walk: the same"]
    printed, _ = page_of(changed, after, run_of(changed.path, "timing"))
    assert printed.splitlines()[1].startswith("walk and timing: ")


def test_folders_of_other_names_and_of_another_clone(changed, toy_that_ran):
    printed, soup = page_of(changed, "reports/walk", "reports/double")
    assert "walk and double: 3 parameters" in printed
    assert rows(soup, "Parameters")[2] == ["factor", "none", "2.0", ""]
    printed, soup = page_of(changed, str(toy_that_ran), "reports", "--name", "walk")
    assert [row[0] for row in rows(soup, "What is compared")] == ["toy", "work tree"]
    assert printed.splitlines()[1].startswith("walk: 1 parameter")
    printed, soup = page_of(changed, str(toy_that_ran / "reports/walk"), "reports/walk")
    assert [row[0] for row in rows(soup, "What is compared")] == [
        "reports/walk of toy", "reports/walk",
    ]  # fmt: skip


def test_a_report_that_was_edited_by_hand(own_toy):
    folder = own_toy.path / "reports/timing"
    (folder / "report.ipynb").write_text(
        (folder / "report.ipynb").read_text(encoding="utf-8").replace("rounds = 3", "rounds = 4"),
        encoding="utf-8",
    )
    text = (folder / "evidence.json").read_text(encoding="utf-8")
    (folder / "evidence.json").write_text(text + "\n", encoding="utf-8")
    printed, soup = page_of(own_toy)
    assert "timing: 1 parameter, 1 cell, evidence.json, in its form alone" in printed
    assert [mark.get_text() for mark in soup.select("mark")] == ["3", "4"]


def test_files_that_cannot_be_read_are_told(own_toy):
    for name, file in (("timing", "evidence.json"), ("walk", "report.ipynb")):
        path = own_toy.path / "reports" / name / file
        path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    printed, soup = page_of(own_toy, ok=False)
    assert "timing: 1 not compared" in printed
    assert "walk: 1 not compared" in printed
    told = [item.get_text() for item in soup.select("li")]
    assert [words.partition(" can't be read: ")[0] for words in told] == [
        "timing: evidence.json", "walk: report.ipynb",
    ]  # fmt: skip
    printed = own_toy.call("compare", "reports/walk", "HEAD", ok=False)
    assert printed.startswith(f"{COMMAND}: walk: report.ipynb can't be read: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["wakl"], "'wakl' is no folder with reports, revision of git, DVC experiment or MLflow "
                   "run; did you mean 'reports/walk'?"),
        (["shrt"], "did you mean 'short'?"),
        (["what on earth"], "there are reports/walk, reports/double, reports/timing, short, and "),
        (["src"], "src: neither report.ipynb nor reports/*/report.ipynb is in this folder"),
        (["HEAD", "HEAD"], "HEAD and HEAD are one and the same state; name two that differ"),
        (["reports"], "work tree and work tree are one and the same state; name two that differ"),
        (["HEAD~1"], "HEAD~1 has no notebook that has run: its dvc.lock names no reports/*/"),
        (["--name", "wakl"], "--name wakl: none of them has it; did you mean 'walk'?"),
        (["reports/timing", "short", "--name", "walk"], "no notebook in common"),
        (["--out", "nowhere/page.html"], "--out nowhere/page.html: there is no folder nowhere"),
    ],
)  # fmt: skip
def test_mistakes_end_in_one_line_before_any_work(changed, arguments, told):
    page = changed.path / PAGE
    page.unlink(missing_ok=True)
    printed = changed.call("compare", *arguments, ok=False)
    assert len(printed.splitlines()) == 1, printed
    assert printed.startswith(f"{COMMAND}: ")
    assert told in printed
    assert not page.exists()


def test_a_name_of_two_experiments(own_changed):
    commit = own_changed.run("git", "rev-parse", "HEAD~1").strip()
    short = own_changed.run("git", "rev-parse", "HEAD").strip()
    # DVC itself prefers that of the last commit.
    own_changed.run("git", "commit", "--quiet", "--allow-empty", "--message", "later")
    own_changed.run("git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/short", short)
    printed = own_changed.call("compare", "short", ok=False)
    assert "'short' stands for several commits or DVC experiments" in printed


def test_without_a_store_of_runs_none_is_made(own_toy):
    for path in own_toy.path.glob("mlflow.db*"):
        path.unlink()
    own_toy.call("compare", "abcdef12", ok=False)
    assert list(own_toy.path.glob("mlflow.db*")) == []


def test_what_is_in_no_cache_is_told(own_changed):
    shutil.rmtree(own_changed.path / ".dvc/cache")
    printed, soup = page_of(own_changed, "HEAD", "reports", ok=False)
    told = (
        "reports/walk/evidence.json of HEAD is in neither the cache nor a remote; in a checkout of "
        "HEAD, `dvc pull walk` or `dvc repro walk` brings it"
    )
    lines = [line for line in printed.splitlines() if line.startswith(COMMAND)]
    assert len(lines) == 6
    assert lines[-1] == f"{COMMAND}: and 3 more, which the page names"
    assert "timing: the same" in printed  # of equal digest, which nobody fetches
    assert "walk: 1 number, 5 not compared" in printed  # git itself has metrics.json
    said = [item.get_text() for item in soup.select("li")]
    assert len(said) == 8
    assert told in said
    (own_changed.path / PAGE).unlink()
    printed = own_changed.call("compare", "--name", "double", ok=False)
    assert "double/evidence.json of HEAD is in neither the cache nor a remote" in printed
    assert not (own_changed.path / PAGE).exists()


def test_what_a_remote_has_is_brought(own_changed, toy, tmp_path):
    before, _ = page_of(own_changed)
    for pushing in (toy, own_changed):  # that of HEAD, and that of the work tree
        pushing.run("dvc", "remote", "add", "--default", "here", str(tmp_path / "remote"))
        pushing.run("dvc", "push")
    shutil.rmtree(own_changed.path / ".dvc/cache")
    assert page_of(own_changed)[0] == before


def test_two_processes_write_the_same_bytes(changed):
    code = (
        "import sys; from notebook_pipeline.cli import main; "
        "from notebook_pipeline.repository import nearest_project as find; "
        "sys.path.insert(0, 'src'); sys.exit(main(['compare', 'HEAD', 'short'], find))"
    )
    pages = []
    for seed in ("1", "2"):
        changed.run("env", f"PYTHONHASHSEED={seed}", "python", "-c", code)
        pages.append((changed.path / PAGE).read_bytes())
    assert pages[0] == pages[1]
    assert pages[0].count(b"<svg") == 0
    assert pages[0].count(b"data:image/svg+xml") == 2


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_desk_and_a_phone(changed, browser, width, scheme):
    changed.call("compare", "HEAD", "short")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((changed.path / PAGE).as_uri())
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    pictures = "[...document.images].filter(one => !one.naturalWidth).length"
    assert page.evaluate(pictures) == 0
    first, second = page.locator(".beside > div").first.locator("img").all()
    beside = first.bounding_box()["y"] == second.bounding_box()["y"]
    assert beside is (width == 1280)
    assert said == []
    page.close()
