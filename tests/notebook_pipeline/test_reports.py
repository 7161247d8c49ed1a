"""Reports: the page shows what a reader should see, and loads nothing."""

from __future__ import annotations

import base64
import copy
import io
from typing import TYPE_CHECKING

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from notebook_pipeline.expectations import Expectation, Expectations
from notebook_pipeline.project import Beside, Page, Project
from notebook_pipeline.reports import readable
from notebook_pipeline.reports.page import (
    ExternalResourceError,
    external_resources,
    render_html,
    write_report,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from playwright.sync_api import Browser

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
    "awAAAABJRU5ErkJggg=="
)

DICE = Project("dice")


def test_page_has_title_and_language(soup: BeautifulSoup) -> None:
    assert soup.title.string == "States & gates"
    assert soup.html["lang"] == "en"
    assert soup.find("meta", attrs={"name": "viewport"})
    assert [h.get_text() for h in soup.find_all("h1")] == ["What moves?#"]


def test_title_is_the_heading_where_the_notebook_has_none() -> None:
    page = render_html(
        new_notebook(cells=[new_markdown_cell("words")]), title="a < b", project=DICE
    )
    assert "<h1>a &lt; b</h1>" in page


@pytest.mark.parametrize(
    "cells", [[], [new_code_cell("1")], [new_markdown_cell("")], [new_markdown_cell("words")]]
)
def test_the_name_is_the_title_where_the_notebook_has_none(tmp_path, cells) -> None:
    nbformat.write(new_notebook(cells=cells), tmp_path / "report.ipynb")
    page = write_report(tmp_path, "sixes", DICE).read_text(encoding="utf-8")
    assert "<title>sixes</title>" in page
    assert "<h1>sixes</h1>" in page


@pytest.mark.parametrize(("file", "links"), [("index.html", 1), ("answers.html", 0)])
def test_a_page_leads_to_the_index_if_the_project_has_one(file, links) -> None:
    project = Project("dice", pages={"all": Page(file, lambda root, missing: root / file)})
    page = BeautifulSoup(render_html(new_notebook(), title="t", project=project), "html.parser")
    assert len(page.select("a[href='../index.html']")) == links


@pytest.mark.parametrize("has_still", [True, False])
def test_a_report_leads_to_what_lies_beside_it(tmp_path, has_still) -> None:
    """By a link at the top, and by a small copy of its picture below the answer."""
    answer = new_code_cell("1", metadata={"tags": ["answer"]})
    nbformat.write(new_notebook(cells=[answer, new_code_cell("2")]), tmp_path / "report.ipynb")
    if has_still:
        Image.new("RGB", (960, 600), "red").save(tmp_path / "still.png")
    beside = {"sixes": [Beside("map.html", "A & B", still="still.png")]}
    path = write_report(tmp_path, "sixes", Project("dice", beside=beside))
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    links = page.select("a[href='map.html']")
    assert [link.text for link in links] == ["A & B"] * (1 + has_still)
    assert links[0].find_parent(class_="bar")
    pictures = page.select("figure.still a[href='map.html'] img")
    drawn = [base64.b64decode(one["src"].rpartition(",")[2]) for one in pictures]
    assert [Image.open(io.BytesIO(one)).size for one in drawn] == [(480, 300)] * has_still


@pytest.mark.parametrize("lock", [None, "0cc175b9c0f1b6a831c399e269772661"])
def test_a_page_tells_the_projects_own_command_and_a_lock_only_if_there_is_one(lock) -> None:
    made = {"key": "f" * 64, "parameters": {}, "data": {}, "environment": lock, "code": {}}
    notebook = new_notebook(metadata={"made_from": made})
    page = render_html(notebook, title="t", project=Project("dice", command="roll <now>"))
    text = BeautifulSoup(page, "html.parser").select_one("details.parameters").get_text()
    assert "roll <now> origin says which run made it, when, and from which\ncommit." in text
    assert ("requirements.lock" in text) is (lock is not None)
    assert "None" not in text


def test_page_loads_nothing_and_is_small(page: str) -> None:
    assert external_resources(page) == []
    assert "cdn" not in page
    assert len(page) < 40_000


@pytest.mark.parametrize(
    ("html", "loaded"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "https://cdn.example/x.js"),
        ("<link rel=stylesheet href=//x.example/y.css>", "//x.example/y.css"),
        ('<img alt="a" src="figure.png">', "figure.png"),
        ("<style>@import 'a.css'; p {}</style>", "a.css"),
        ("<style>p {background: url(http://x.example/p.png)}</style>", "http://x.example/p.png"),
    ],
)
def test_a_report_that_would_load_something_is_refused(html: str, loaded: str) -> None:
    output = new_output("display_data", {"text/html": html})
    notebook = new_notebook(cells=[new_code_cell("1", outputs=[output])])
    with pytest.raises(ExternalResourceError, match=loaded):
        render_html(notebook, title="t", project=DICE)


def test_links_and_shown_code_load_nothing() -> None:
    code = 'url = "<img src=\'https://x.example/a.png\'>"; css = "url(b.png)"'
    cells = [new_markdown_cell("[a](https://x.example)"), new_code_cell(code)]
    assert "x.example" in render_html(new_notebook(cells=cells), title="t", project=DICE)


def test_code_is_there_but_folded(soup: BeautifulSoup) -> None:
    folded = soup.select("details.code")
    assert len(folded) == 5
    assert not any(box.has_attr("open") for box in folded)
    assert "uuid.uuid4()" in folded[0].get_text()
    unfolded = copy.copy(soup)
    for box in unfolded.select("details.code"):
        box.decompose()
    assert "uuid4" not in unfolded.main.get_text()


def test_code_that_is_the_point_is_not_folded() -> None:
    cells = [new_code_cell("1"), new_code_cell("2", metadata={"tags": ["show-code"]})]
    page = render_html(new_notebook(cells=cells), title="t", project=DICE)
    boxes = BeautifulSoup(page, "html.parser").select("details.code")
    assert [box.has_attr("open") for box in boxes] == [False, True]


def test_hidden_cells_are_gone(page: str, executions: list[NotebookNode]) -> None:
    assert "nobody sees this" in nbformat.writes(executions[0])
    assert "nobody sees this" not in page


def test_parameters_are_one_table_of_what_ran(soup: BeautifulSoup) -> None:
    (box,) = soup.select("details.parameters")
    rows = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in box.select("tr")]
    assert rows == [
        ["parameter", "value", "default", "meaning"],
        ["units", "5", "4", "width of h"],
        ["rate", "0.1", "", ""],
    ]


def test_figures_are_numbered_and_described(soup: BeautifulSoup) -> None:
    images = soup.select("figure img")
    assert [image["alt"] for image in images] == ["Figure 1: Effect", 'A "square" & more']
    assert base64.b64decode(images[0]["src"].partition(",")[2]) == base64.b64decode(PIXEL)
    captions = [caption.get_text() for caption in soup.select("figcaption")]
    assert captions == ["Figure 1", "Figure 2. One dot."]


def test_alt_text_comes_from_the_picture_or_its_axes() -> None:
    titled = io.BytesIO()
    text = PngInfo()
    text.add_text("Title", "Only h moves")
    Image.new("RGB", (300, 150)).save(titled, "png", pnginfo=text, dpi=(192, 192))
    axes = new_output("execute_result", {"text/plain": "<Axes: title={'center': 'Loss falls'}>"})
    encoded = (base64.b64encode(titled.getvalue()).decode(), PIXEL)
    first, second = (new_output("display_data", {"image/png": data}) for data in encoded)
    cells = [new_code_cell("1", outputs=[first]), new_code_cell("2", outputs=[axes, second])]
    page = BeautifulSoup(
        render_html(new_notebook(cells=cells), title="t", project=DICE), "html.parser"
    )
    images = page.select("figure img")
    assert [image["alt"] for image in images] == ["Only h moves", "Loss falls"]
    assert (images[0]["width"], images[0]["height"]) == ("150", "75")
    assert "<Axes" not in page.main.get_text()


def test_tables_scroll_in_a_box_and_align_by_content(soup: BeautifulSoup) -> None:
    table = soup.select_one(".output table")
    assert table.parent["class"] == ["table"]
    assert [cell.get("class") for cell in table.find_all("td")] == [None, ["text"]]


def test_long_output_is_folded_and_short_is_not(soup: BeautifulSoup) -> None:
    (log,) = soup.select("details.log")
    assert log.summary.get_text() == "Printed output, 60 lines"
    assert "line 59" in log.pre.get_text()
    assert soup.find_all("pre")[-1].get_text() == "[0, 1, 2, 3, 4]"


def test_one_click_shows_all_code_and_print_shows_none(browser: Browser, page: str) -> None:
    view = browser.new_page(viewport={"width": 1280, "height": 900})
    view.set_content(page)
    code = view.locator("details.code .highlight")
    assert not any(code.nth(i).is_visible() for i in range(code.count()))
    view.get_by_role("button", name="Show all code").click()
    assert all(code.nth(i).is_visible() for i in range(code.count()))
    view.emulate_media(media="print")
    assert not any(code.nth(i).is_visible() for i in range(code.count()))
    assert not view.locator("header a").is_visible()
    view.close()


def test_phone_has_no_sideways_scroll(browser: Browser, page: str) -> None:
    cells = "<td>a_long_word</td>" * 60
    wide = f'<div class="output"><div class="table"><table><tr>{cells}</tr></table></div></div>'
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.set_content(page.replace("</main>", f"{wide}</main>"))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.close()


ANSWER = "**Answer.** It *does*.\n\nMore."


def answered():
    """A notebook that asks, measures, and answers near its end."""
    said = new_output("display_data", {"text/markdown": ANSWER, "text/plain": "..."})
    cells = [
        new_markdown_cell("# Does it move?\n\n**Question.** Does it?"),
        new_code_cell("measure()"),
        new_markdown_cell("## Answer\n\nFor readers of the notebook.", metadata={"tags": ["hide"]}),
        new_code_cell("Markdown(words)", outputs=[said], metadata={"tags": ["answer"]}),
        new_markdown_cell("## Checks"),
    ]
    return new_notebook(cells=cells)


def test_the_answer_goes_up_to_the_question_and_to_other_pages() -> None:
    notebook = answered()
    text = BeautifulSoup(
        render_html(notebook, title="t", project=DICE), "html.parser"
    ).main.get_text()
    places = [text.index(part) for part in ("Question.", "It does.", "measure()", "Checks")]
    assert places == sorted(places)
    assert "For readers of the notebook" not in text
    assert readable.answer(notebook) == "<p>It <em>does</em>.</p>\n"
    notebook.cells[3].outputs = []
    assert readable.answer(notebook) == ""


@pytest.mark.parametrize(
    ("departing", "differs", "note", "listed"),
    [
        (1, (), "departs from 1 of 2", ["Move <of> c: 2, expected < 1 (by 1)"]),
        (0, ("epochs is 1, not 8",), "departs from none of 1 expectations; these", []),
        (0, (), "", []),
    ],
)
def test_departures_stand_beside_the_answer(departing, differs, note, listed) -> None:
    held = [Expectation("a", "Move <of> c", "< 1", "2", "by 1")] * departing
    held.append(Expectation("b", "Move of h", "> 0", "1", ""))
    page = render_html(
        answered(), title="t", project=DICE, expectations=Expectations(tuple(held), differs)
    )
    notes = BeautifulSoup(page, "html.parser").select("aside.departs")
    assert len(notes) == bool(note)
    for aside in notes:
        assert note in aside.get_text()
        assert [item.get_text() for item in aside.select("li")] == listed
        assert aside.find_previous("em").get_text() == "does"
