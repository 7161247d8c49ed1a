"""Markdown in reports: equations as MathML, code and other dollar signs as they are, links."""

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from notebook_pipeline.project import Project
from notebook_pipeline.reports import readable
from notebook_pipeline.reports.markdown import EquationError, markdown_html
from notebook_pipeline.reports.page import external_resources, render_html, write_report

DICE = Project("dice")
STEP = r"c_t = f_t \odot c_{t-1} + i_t \odot \tilde c_t"
WIDE = "$$" + " + ".join(f"x_{{{n}}}" for n in range(90)) + "$$"


def shown(cells):
    page = render_html(new_notebook(cells=cells), title="t", project=DICE)
    return page, BeautifulSoup(page, "html.parser")


def said(markdown, **metadata):
    output = new_output("display_data", data={"text/markdown": markdown})
    return new_code_cell("say()", outputs=[output], metadata=metadata)


@pytest.mark.parametrize("cell", [new_markdown_cell, said])
def test_equations_are_mathml_in_cells_and_outputs(cell):
    page, soup = shown([cell(f"Each step has ${STEP}$ and\n\n$$h_t < 1$$\n")])
    inline, block = soup.find_all("math")
    assert [inline["display"], block["display"]] == ["inline", "block"]
    subscripts = [tag.get_text() for tag in inline.find_all("msub")]
    assert subscripts == ["ct", "ft", "ct−1", "it", "c~t"]
    assert block.get_text() == "ht<1"
    assert block.parent["class"] == ["equation"]
    assert "$" not in soup.main.get_text()
    assert external_resources(page) == []
    assert "mathjax" not in page.lower()
    assert "w3.org" not in page  # no address at all
    assert page == shown([cell(f"Each step has ${STEP}$ and\n\n$$h_t < 1$$\n")])[0]


@pytest.mark.parametrize(
    ("tex", "spaces"),
    [(r"-\ln 2 / \ln f", 2), (r"\log_2 x", 1), (r"\tanh(c_t)", 0), (r"c x", 0), (r"\sin\ln x", 2)],
)
def test_a_function_stands_apart_from_its_argument(tex, spaces):
    _, soup = shown([new_markdown_cell(f"${tex}$")])
    assert len(soup("mspace")) == spaces


@pytest.mark.parametrize("name", ["aligned", "align*", "split"])
def test_lines_are_aligned_at_their_signs(name):
    tex = rf"\begin{{{name}}} a &= b \\ c &= d - 1 \end{{{name}}}"
    _, soup = shown([new_markdown_cell(f"$$\n{tex}\n$$")])
    rows = [[cell.get_text().strip() for cell in row("mtd")] for row in soup("mtr")]
    assert rows == [["a", "=b"], ["c", "=d−1"]]
    assert [cell["columnalign"] for cell in soup("mtd")] == ["right", "left"] * 2


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("It costs $5.", "It costs $5."),
        (r"From \$5 to \$6.", "From $5 to $6."),
        ("Set `$HOME` and `$PATH`.", "Set $HOME and $PATH."),
        ("For $5, set `$HOME`.", "For $5, set $HOME."),
        ("Both `$$` and `$$` are numbers.", "Both $$ and $$ are numbers."),
        ("`$$` a\n\n## b\n\n`$$`", "$$ a\nb#$$"),
        ("```sh\necho $A $B\necho $$ $$\n```", "echo $A $B\necho $$ $$"),
        ("    echo $A $B", "echo $A $B"),
    ],
)
def test_other_dollar_signs_stay(source, text):
    _, soup = shown([new_markdown_cell(source)])
    assert soup.section.get_text().strip() == text


def test_code_cells_and_printed_text_stay():
    printed = new_output("stream", name="stdout", text="$a_b$ $$c$$")
    _, soup = shown([new_code_cell("'$x_1$ and $x_2$'", outputs=[printed])])
    assert soup.find("math") is None
    assert "$x_1$ and $x_2$" in soup.main.get_text()
    assert "$a_b$ $$c$$" in soup.main.get_text()


def test_tables_and_headings_hold_equations():
    table = "| symbol | meaning |\n|---|---|\n| $h_t$ | a state $<1$ |"
    _, soup = shown([new_markdown_cell(f"## Where $c_t$ goes\n\n{table}")])
    assert [math.get_text() for math in soup.select("td > math")] == ["ht", "<1"]
    assert soup.h2.math.get_text() == "ct"


@pytest.mark.parametrize(
    ("tex", "why"),
    [
        (r"\sigmoid(x)", r"the command \sigmoid is unknown"),
        (r"\text{\foo}", r"the command \foo is unknown"),
        (r"\begin{dice} x \end{dice}", "the environment 'dice' is unknown"),
        (r"\frac{a}{b", "its braces don't match"),
        ("a}{b", "its braces don't match"),
        (r"\frac{a}", "a command has 1 of 2 arguments"),
        ("x^", "MissingSuperScriptOrSubscriptError"),
        ("a & b", "an & needs an environment"),
    ],
)
def test_a_wrong_equation_is_an_error_that_names_it_and_the_notebook(tmp_path, tex, why):
    cells = [new_markdown_cell(f"It is ${tex}$.")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "report.ipynb")
    with pytest.raises(EquationError) as caught:
        write_report(tmp_path, "sixes", DICE)
    start = f"the equation ${tex}$ of the notebook 'sixes' can't be shown: "
    assert str(caught.value).startswith(start + why)


def test_answers_on_other_pages_hold_equations():
    heading = new_markdown_cell("# Why?")
    answer = readable.answer(new_notebook(cells=[said("**Answer.** $h_t$.", tags=["answer"])]))
    assert BeautifulSoup(answer, "html.parser").math.get_text() == "ht"
    wrong = [heading, said(r"**Answer.** $\foo$.", tags=["answer"])]
    with pytest.raises(EquationError, match="of the notebook 'Why\\?'"):
        readable.answer(new_notebook(cells=wrong))


@pytest.mark.parametrize(
    ("in_the_notebook", "in_its_report"),
    [
        ("../reports/claims.html#claim-1", "../claims.html#claim-1"),
        ("05_depth.ipynb", "../depth/report.html"),
        ("05_depth.ipynb#Limits", "../depth/report.html#Limits"),
        ("https://x.example/../reports/05_depth.ipynb",) * 2,
        ("../data",) * 2,
        ("#Limits",) * 2,
    ],
)
def test_a_link_to_a_page_of_the_reports_leads_there_from_both(in_the_notebook, in_its_report):
    link = f"[a]({in_the_notebook})"
    _, soup = shown([new_markdown_cell(link), said(link)])
    assert [a["href"] for a in soup.select("section a")] == [in_its_report] * 2


def test_attachments_stay():
    pictures = {"a.png": {"image/png": "iVBORw0KGgo="}}
    html = markdown_html("![a](attachment:a.png) $x$", of="t", attachments=pictures)
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in html


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_wide_equation_scrolls_in_its_own_box(browser, tmp_path, width):
    tex = r"$$\begin{aligned} a &= b \\ cccc &= d \end{aligned}$$"
    path = tmp_path / "report.html"
    path.write_text(shown([new_markdown_cell(f"{WIDE}\n\n{tex}")])[0], encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide, aligned = page.query_selector_all(".equation")
    assert wide.evaluate("box => box.scrollWidth > box.clientWidth")
    assert aligned.evaluate("box => box.scrollWidth <= box.clientWidth")
    ends = "box => [...box.querySelectorAll('mtr')].map(r => r.children[0].lastElementChild"
    right = aligned.evaluate(f"{ends}.getBoundingClientRect().right)")
    assert abs(right[0] - right[1]) < 1
    page.close()
