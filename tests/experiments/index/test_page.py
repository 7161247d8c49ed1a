"""The index: results against baselines, links, figures side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bs4 import BeautifulSoup

from experiments.index.page import ReportRow, Thumbnail, TrialRow, render_index
from notebook_pipeline.reports.missing import Missing
from notebook_pipeline.reports.page import external_resources

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def report_row(name: str, *thumbnails: Thumbnail) -> ReportRow:
    """A row of the index with long words in it."""
    return ReportRow(
        configuration=name,
        question="Does <h> pass?",
        data="4,000 sequences",
        metric="test MSE",
        value="0.091",
        interval="95 % CI 0.087 to 0.096",
        baselines=("ridge 0.103", "last value 0.240"),
        verdict="beats ridge by 0.012 (95 % CI 0.004 to 0.020)",
        report=f"{name}/report.html",
        notebook=f"{name}/report.ipynb",
        explorer=f"{name}/explorer.html",
        thumbnails=thumbnails,
    )


def index_page() -> str:
    """An index of two configurations that share one figure's caption."""
    rows = [
        report_row("stacked", Thumbnail("stacked/a.png", "Loss"), Thumbnail("s.png", "Alone")),
        report_row("masked", Thumbnail("masked/a.png", "Loss")),
    ]
    trials = [
        TrialRow("Does it swing?", "<p>Yes.</p>", "swing/report.html", decides=False),
        TrialRow("Does c rise?", "<p>Only <code>h</code> does.</p>", "flow/report.html", True),
    ]
    return render_index(rows, title="LSTM & states", intro="First.\n\nSecond <p>.", trials=trials)


def listed(soup: BeautifulSoup) -> dict[str, list[str]]:
    """The questions of experiments by the heading that they stand below."""
    return {
        part.find_previous("h2").get_text(): [question.get_text() for question in part.select("dt")]
        for part in soup.select(".answers")
    }


def test_index_shows_result_against_baseline_with_links() -> None:
    soup = BeautifulSoup(index_page(), "html.parser")
    row = soup.select_one("tbody tr")
    assert "Does <h> pass?" in row.get_text()
    assert [item.get_text() for item in row.find_all("li")] == ["ridge 0.103", "last value 0.240"]
    assert "beats ridge by 0.012" in row.get_text()
    links = {link["href"] for link in row.find_all("a")}
    assert links == {"stacked/report.html", "stacked/report.ipynb", "stacked/explorer.html"}
    texts = [p.get_text() for p in soup.select("main > p")]
    assert texts[:2] == ["First.", "Second <p>."]
    assert soup.select_one("main > p > a")["href"] == "claims.html"
    assert soup.select_one(".answers a")["href"] == "flow/report.html"
    assert soup.select_one(".answers dd code").get_text() == "h"


def test_index_sets_experiments_that_decide_no_claim_apart() -> None:
    assert listed(BeautifulSoup(index_page(), "html.parser")) == {
        "Every claim on trial": ["Does c rise?"],
        "Other experiments": ["Does it swing?"],
    }


def test_index_does_not_attribute_own_claims_to_the_article() -> None:
    for number, words in (
        (0, "Every claim of the article, dec"),
        (2, "article and 2 of our own, "),
    ):
        page = render_index([], title="", intro="", trials=[], own_claims=number)
        assert words in BeautifulSoup(page, "html.parser").select_one("main > p").get_text()


def test_index_sets_figures_of_one_caption_side_by_side() -> None:
    soup = BeautifulSoup(index_page(), "html.parser")
    groups = {
        grid.find_previous("h2").get_text(): [image["src"] for image in grid.find_all("img")]
        for grid in soup.select(".figures")
    }
    assert groups == {"Loss": ["stacked/a.png", "masked/a.png"], "stacked": ["s.png"]}
    assert external_resources(index_page()) == ["stacked/a.png", "masked/a.png", "s.png"]


def test_index_names_what_is_missing() -> None:
    missing = [
        Missing("depth", "skipped: needs experiment@stacked", {"an older report": "d.html"}),
        Missing("claims", "can't be made: <wrong>"),
    ]
    trial = TrialRow("Does it swing?", "", "swing/report.html", decides=False)
    page = render_index([], title="", intro="", trials=[trial], missing=missing)
    soup = BeautifulSoup(page, "html.parser")
    assert [item.get_text() for item in soup.select("ul.missing li")] == [
        "depth skipped: needs experiment@stacked: an older report",
        "claims can't be made: <wrong>",
    ]
    assert [link["href"] for link in soup.select("a")] == ["d.html", "swing/report.html"]
    assert listed(soup) == {"Experiments": ["Does it swing?"]}
    assert BeautifulSoup(index_page(), "html.parser").select("ul.missing") == []


def test_index_fits_a_phone(browser: Browser) -> None:
    phone = browser.new_page(viewport={"width": 390, "height": 844})
    phone.set_content(index_page())
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    data, verdict = (phone.locator(f"[data-label={x}]").first for x in ("Data", "Verdict"))
    assert verdict.bounding_box()["y"] > data.bounding_box()["y"]
    assert verdict.bounding_box()["width"] > 300
    phone.close()


def test_index_says_where_runs_depart() -> None:
    departs = "This run departs from 1 of 4."
    rows = [replace(report_row("stacked"), departs=departs), report_row("b")]
    trials = [TrialRow("Does it?", "", "flow/report.html", True, "None of <5>.")]
    told = ["1 of 9 measures depart:", "  stacked: R²: 0.5, expected > 0.6 (by 0.1)"]
    page = render_index(rows, title="t", intro="i", trials=trials, departures=told)
    soup = BeautifulSoup(page, "html.parser")
    [note] = soup.select("aside.departs")
    told_there = [part.get_text().strip() for part in note.select("summary, li")]
    assert told_there == [told[0], told[1].strip()]
    assert note.details.has_attr("open")
    page = render_index(rows, title="t", intro="i", trials=trials, departures=told + told[1:] * 6)
    assert not BeautifulSoup(page, "html.parser").select_one("aside details").has_attr("open")
    small = [(s.get_text(), s.find_previous("a")["href"]) for s in soup.select("small.departs")]
    assert small == [(departs, "stacked/report.html"), ("None of <5>.", "flow/report.html")]
    assert BeautifulSoup(index_page(), "html.parser").select(".departs") == []
