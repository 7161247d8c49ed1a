"""The rule that judges a sweep, and the page that shows it, in a browser too."""

import re

import numpy as np
import pytest
from bs4 import BeautifulSoup

from notebook_pipeline.project import Metric, Swept
from notebook_pipeline.reports.page import external_resources
from notebook_pipeline.stages.points import Row, Table
from notebook_pipeline.sweeps import words
from notebook_pipeline.sweeps.page import render_page
from notebook_pipeline.sweeps.verdict import judge, lead, standard_error

LOSS = Metric("loss", "loss on the validation part", lower_is_better=True)
SCORE = Metric("score", "distance on the test part", "m")
SIZE = Metric("size", "number of parts")
SWEPT = Swept("a.b:c", chosen_by=LOSS, score=SCORE, size=SIZE)

LOSSES = {
    (1, 8): (5, 6, 7),
    (1, 16): (2.2, 2.3, 2.0),
    (2, 8): (2, 2.5, 2.4),
    (2, 16): (1.9, 2.5, 2),
}
"""By depth and width: 2, 16 is the best with a mean of 2.13 and a standard error of 0.19."""


def make_table(losses=LOSSES, scores=None, seeds=(0, 1, 2), **changes):
    rows = [
        Row(
            {"depth": depth, "width": width},
            {
                "loss": list(loss),
                "score": list((scores or {}).get((depth, width), [10 - v for v in loss if v])),
                "size": [depth * width] * len(loss),
            },
        )
        for (depth, width), loss in losses.items()
    ]
    about = {
        "name": "stacks", "question": "How <deep> is enough?", "of": "walk", "seeds": list(seeds),
        "departs": {"epochs": 9}, "logarithmic": [], "combined": True,
        "shared": {"epochs": 3}, "rows": rows,
    }  # fmt: skip
    return Table(**{**about, **changes})


def given(row):
    return row and tuple(row.given.values())


def test_the_best_is_chosen_by_the_metric_that_chooses_and_no_other():
    scores = {(1, 8): (99, 99, 99)}
    verdict = judge(make_table(scores=scores), SWEPT)
    assert given(verdict.best) == (2, 16)
    assert given(verdict.runner_up) == (1, 16)
    assert given(verdict.smallest) == (1, 8)


def test_enough_is_the_smallest_within_one_standard_error():
    verdict = judge(make_table(), SWEPT)
    best = np.array(LOSSES[2, 16])
    limit = best.mean() + best.std(ddof=1) / np.sqrt(3)
    assert standard_error(verdict.best, LOSS) == pytest.approx(limit - best.mean())
    near = {point for point, loss in LOSSES.items() if np.mean(loss) <= limit}
    assert near == {(2, 16), (1, 16), (2, 8)}
    assert given(verdict.enough) == (1, 16)  # of two as small the better
    worse = {**LOSSES, (1, 16): (2.5, 2.5, 2.5), (2, 8): (2.4, 2.4, 2.4)}
    assert given(judge(make_table(worse), SWEPT).enough) == (2, 16)


def test_a_lead_is_paired_by_seeds_with_students_interval():
    one, other = Row({}, {"loss": [1.0, 2.0, 3.0]}), Row({}, {"loss": [1.5, 2.4, 3.6]})
    found = lead(one, other, LOSS)
    assert found.mean == pytest.approx(0.5)
    # 4.302653 is Student's t of 0.975 with two degrees of freedom.
    far = 4.302653 * 0.1 / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.5 - far, 0.5 + far))
    assert found.is_more_than_spread
    assert lead(other, one, LOSS).mean == pytest.approx(-0.5)
    assert lead(one, other, Metric("loss", "gain")).mean == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        ([0.5, 0.6, 0.4], "more than the spread of seeds"),
        ([0.5, -0.6, 0.4], "no more than the spread of seeds"),
        ([-0.5, -0.6, -0.4], "behind it, by more than the spread of seeds"),
        ([0.0, 0.0, 0.0], "no more than the spread of seeds"),
        ([0.5], "one seed doesn't tell whether by chance"),
    ],
)
def test_leads_in_words(ahead, told):
    one, other = Row({}, {"score": ahead}), Row({}, {"score": [0.0] * len(ahead)})
    assert words.lead_in_words(lead(one, other, SCORE)) == told


def test_one_seed_says_which_is_best_and_not_which_is_enough():
    table = make_table({point: loss[:1] for point, loss in LOSSES.items()}, seeds=[0])
    verdict = judge(table, SWEPT)
    assert (given(verdict.best), verdict.enough) == ((2, 16), None)
    assert words.answer(table, SWEPT, verdict) == (
        "The best of 4 points by loss on the validation part, mean of 1 seed, is depth 2, width 16 "
        "with 1.900."
    )


def test_a_point_without_a_number_for_some_seed_cannot_be_the_best():
    losses = {**LOSSES, (3, 8): (0.1, None, 0.1)}
    table = make_table(losses)
    verdict = judge(table, SWEPT)
    assert (given(verdict.best), verdict.unranked) == ((2, 16), 1)
    page = BeautifulSoup(render_page(table, SWEPT, {}), "html.parser")
    assert "1 of 3 seeds gave no number" in page.select("tbody tr")[-1].get_text()
    none = make_table({(1, 8): (None, 1, 1)})
    assert judge(none, SWEPT) is None
    assert "so there is no answer" in render_page(none, SWEPT, {})


def test_the_answers():
    table = make_table()
    assert words.answer(table, SWEPT, judge(table, SWEPT)) == (
        "Depth 1, width 16 is enough (2.167): by the rule below it is as good as the best of 4 "
        "points by loss on the validation part, mean of 3 seeds, depth 2, width 16 (2.133), and no "
        "smaller one is."
    )
    alone = make_table({point: LOSSES[point] for point in [(1, 8), (2, 16)]})
    assert words.answer(alone, SWEPT, judge(alone, SWEPT)) == (
        "Depth 2, width 16 is enough, and nothing smaller is: it is the best of 2 points by loss "
        "on the validation part, mean of 3 seeds (2.133), and by the rule below no smaller one is "
        "as good."
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (3.0, "3"), (12345, "12,345"), (0.5, "0.500"), (-0.5, "\u22120.500"),
     (0.00123, "0.00123"), (1e-7, "1e\u221207"), (4567.8, "4.57e+03")],
)  # fmt: skip
def test_numbers(value, shown):
    assert words.number(value) == shown


@pytest.fixture(scope="module")
def page():
    return render_page(make_table(), SWEPT, {"chance": 0.1, "ridge": 7.5})


@pytest.fixture(scope="module")
def soup(page):
    return BeautifulSoup(page, "html.parser")


def test_the_page_has_question_answer_and_all_points_the_best_first(soup):
    assert soup.h1.get_text() == "How <deep> is enough?"
    assert soup.p.get_text().startswith("Answer. Depth 1, width 16 is enough")
    text = re.sub(r"\s+", " ", soup.get_text())
    assert "The best point's distance on the test part is 7.867 m, mean of 3 seeds" in text
    assert "Simpler models on the same data have: chance 0.100, ridge 7.500." in text
    assert "but for depth and width; and epochs 3 instead of 9." in text
    rows = [[cell.get_text() for cell in row("td")] for row in soup("table")[-1].select("tbody tr")]
    assert [row[:2] for row in rows] == [
        ["2best", "16"], ["1enough", "16"], ["2", "8"], ["1", "8"],
    ]  # fmt: skip
    assert rows[0][2:] == ["2.1331.900 to 2.500", "7.8677.500 to 8.100", "32"]


def test_the_page_says_whether_leads_are_more_than_the_spread(soup):
    rows = [[c.get_text(" ") for c in row("td")] for row in soup("table")[0].select("tbody tr")]
    assert [row[0] for row in rows] == [
        "the runner-up depth 1, width 16",
        "the smallest point depth 1, width 8",
    ]
    assert rows[0][1].endswith("no more than the spread of seeds")
    # Differences 3.1, 3.5 and 5 of a mean of 3.87: Student's interval is 2.48 wide on each side.
    assert rows[1][1] == "3.87 (1.38 to 6.35) more than the spread of seeds"


def test_the_page_names_what_chose_and_what_had_no_part(soup):
    text = re.sub(r"\s+", " ", soup.get_text())
    assert "No value of its distance on the test part has a part in the choice." in text
    same = Swept("a.b:c", chosen_by=LOSS, score=LOSS)
    text = re.sub(r"\s+", " ", render_page(make_table(), same, {}))
    assert "The same values chose the point, which flatters it." in text


def test_equal_tables_give_equal_bytes_and_load_nothing(page):
    assert render_page(make_table(), SWEPT, {"chance": 0.1, "ridge": 7.5}) == page
    assert external_resources(page) == []


def test_each_parameter_has_a_panel_for_each_metric(soup):
    assert [image["alt"] for image in soup("img")] == [
        "loss on the validation part by depth",
        "loss on the validation part by width",
        "distance on the test part by depth",
        "distance on the test part by width",
    ]


def draws():
    """A table of many drawn points, one parameter on a logarithmic scale, one of words."""
    rng = np.random.default_rng(0)
    rows = [
        Row(
            {"rate": float(10 ** -rng.uniform(1, 4)), "cell": str(rng.choice(["a", "b"]))},
            {name: list(rng.normal(size=2)) for name in ("loss", "score", "size")},
        )
        for _ in range(60)
    ]
    return make_table(rows=rows, seeds=[0, 1], combined=False, logarithmic=["rate"], departs={})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (360, 740)])
@pytest.mark.parametrize("table", [make_table(), draws()], ids=["grid", "draws"])
@pytest.mark.browser
def test_it_fits_on_a_desk_and_on_a_phone(browser, tmp_path, table, width, height, scheme):
    (tmp_path / "sweep.html").write_text(render_page(table, SWEPT, {}), encoding="utf-8")
    size = {"width": width, "height": height}
    page, problems, requests = browser.new_page(viewport=size, color_scheme=scheme), [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "sweep.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = [image.bounding_box() for image in page.locator("figure img").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert all(box["width"] > 300 for box in boxes)
    assert (boxes[0]["y"] == boxes[1]["y"]) == (width > 1000)
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(255, 255, 255)") == (scheme == "light")
    page.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
