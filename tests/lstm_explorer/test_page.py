"""The page in a real browser, with a real mouse and real keys."""

import csv
import re
import shutil
import subprocess

import keras
import numpy as np
import pytest

from lstm_explorer import explore, write_explorer
from lstm_states import Edit, measure_memory, record_traces
from tests.repository import ROOT

pytestmark = pytest.mark.browser

L = keras.layers
EVIL = '</script><img src="http://127.0.0.1:9/x.png" onerror="document.title=1">'


@pytest.fixture(scope="module")
def recorded():
    """A model, its input with padding, and what was recorded."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((40, 2)),
            L.Masking(),
            L.LSTM(12, return_sequences=True, name="low"),
            L.GRU(5, return_sequences=True, go_backwards=True, name="high"),
            L.Dense(1),
        ]
    )
    x = np.cumsum(np.random.default_rng(0).normal(size=(6, 40, 2)), 1).astype("float32") / 4
    x[1, 30:] = 0
    return model, x, record_traces(model, x)


@pytest.fixture(scope="module")
def written(recorded, tmp_path_factory):
    model, x, traces = recorded
    kept = record_traces(model, x, edits=[Edit("low", "forget_gate", set=1.0)])
    versions = {"as it is": traces, "nothing forgotten": kept}
    path = tmp_path_factory.mktemp("explorer") / "states.html"
    names = ["zero", EVIL, *"bcde"]
    labels = [EVIL, *"uuddd"]
    return write_explorer(versions, path, inputs=x, labels=labels, names=names, model=model)


@pytest.fixture
def page(browser, written):
    """The page, open; it has loaded nothing else and told of no error."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, accept_downloads=True)
    page = context.new_page()
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    open_page(page, written)
    yield page
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert told == []
    context.close()


def open_page(page, path, address=""):
    page.goto(f"{path.as_uri()}{address}")
    page.wait_for_selector("#explorer[data-ready]")


def settle(page):
    """Wait until what was done is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 300)))")


def point(page, row, step, place, steps=40):
    """Where a step and a row of a heat map lie on the screen."""
    box = page.locator(f'.plot[data-row="{row}"]').bounding_box()
    rows = {"0.0": 12, "0.1": 12, "1.0": 5}[row]
    x = box["x"] + 46 + (box["width"] - 52) * (step + 0.5) / steps
    return x, box["y"] + box["height"] * (place + 0.5) / rows


def facts(page):
    texts = page.locator("#readout dt").all_inner_texts()
    return dict(zip(texts, page.locator("#readout dd").all_inner_texts(), strict=True))


def number(text):
    return float(text.split()[0].replace("−", "-"))


def test_pointing_tells_what_was_recorded(page, recorded):
    _, x, traces = recorded
    page.select_option("#order", "number")
    for step, unit in ((0, 0), (17, 5), (39, 11)):
        page.mouse.move(*point(page, "0.1", step, unit))
        settle(page)
        told = facts(page)
        assert told["step"] == str(step)
        assert told["unit"] == f"{unit} of low"
        cell = next(text for name, text in told.items() if name.startswith("cell state"))
        own = traces["low/cell"].values
        assert abs(number(cell) - own[0, step, unit]) <= np.ptp(own) / 200
        first, second = (
            number(line.split(" ", 1)[1]) for line in told["input: inputs"].split("\n")
        )
        np.testing.assert_allclose([first, second], x[0, step], rtol=0.01, atol=0.001)
    page.keyboard.press("ArrowDown")  # the next sample has padding
    page.mouse.move(*point(page, "0.1", 35, 2))
    settle(page)
    assert facts(page)["step"] == "35 (padding)"


def test_dragging_finds_where_the_same_units_are_on(page, recorded):
    hidden, mask = (recorded[2]["low"][name].values for name in ("hidden", "mask"))
    x, y = point(page, "0.0", 20, 3)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(point(page, "0.0", 24, 3)[0], y, steps=4)
    page.mouse.up()
    page.fill("#threshold-value", "0.1")
    settle(page)
    on = (hidden >= 0.1) & mask[..., np.newaxis]
    near = np.abs(hidden - 0.1) < np.ptp(hidden) / 500  # may round to the other side
    units = [int(text) for text in page.locator("#selected-units button").all_inner_texts()]
    selected = np.flatnonzero(on[0, 20:25].all(0))
    assert not near[0, 20:25, selected].any()
    assert sorted(units) == selected.tolist() != []
    found = page.locator("#matches button")
    assert found.count() > 1
    counts = []
    for match in found.all():
        place = {
            name: int(match.get_attribute(f"data-{name}")) for name in ("sample", "from", "to")
        }
        shared = int(re.search(r"(\d+) of \d+ unit", match.inner_text())[1])
        counts.append(shared)
        steps = slice(place["from"], place["to"] + 1)
        assert place["to"] - place["from"] == 4
        least = (on & ~near)[place["sample"], steps].all(0)[selected].sum()
        assert least <= shared <= (on | near)[place["sample"], steps].all(0)[selected].sum()
    assert counts == sorted(counts, reverse=True)
    found.nth(1).click()
    settle(page)
    where = found.nth(1).get_attribute("data-sample")
    assert page.locator('#samples [aria-selected="true"]').get_attribute("data-sample") == where


def test_a_unit_tells_of_its_memory(page, recorded):
    cell = recorded[2]["low/cell"].values
    page.select_option("#order", "number")
    page.mouse.click(*point(page, "0.1", 30, 4))
    page.mouse.move(*point(page, "0.1", 30, 4))
    page.select_option("#unit-quantity", "1")
    settle(page)
    to = page.locator("#unit .connections").last.locator("button").first
    assert re.fullmatch(r"unit \d: [\d.]+", to.inner_text())
    highest = page.locator("#unit .places").first.locator("button").first
    mask = recorded[2]["low/mask"].values
    expected = np.where(mask, cell[..., 4], -np.inf).max()
    assert abs(number(highest.inner_text()) - expected) <= np.ptp(cell) / 200
    assert page.locator('.plot[data-row="memory-0.4"]').is_visible()
    # Its bars are on the side of what each step wrote, the largest as the ledger has it.
    written = measure_memory(recorded[2], "low", time=30)["written"].values[0, 0, :, 4]
    script = """(canvas) => {
        const { width, height } = canvas, ctx = canvas.getContext("2d");
        const data = ctx.getImageData(0, 0, width, height).data;
        const full = (x) => {
            let count = 0;
            for (let y = 0; y < height; y++) count += data[4 * (y * width + x) + 3] > 200 ? 1 : 0;
            return count;
        };
        return Array.from({ length: 40 }, (_, step) =>
            full(Math.round(46 + (width - 52) * (step + 0.4) / 40)));
    }"""
    heights = page.locator('.plot[data-row="memory-0.4"] canvas.over').evaluate(script)
    drawn = np.array(heights[30::-1], float)
    expected = np.abs(written[:31]) / np.abs(written).max() * 29
    np.testing.assert_allclose(drawn[1:], expected[1:], atol=2.5)  # the cursor frames its own step
    assert heights[31:] == [0] * 9
    other = to.inner_text().partition(":")[0].removeprefix("unit ")
    to.click()
    settle(page)
    assert page.locator("#unit h2").inner_text().startswith(f"Unit {other} of high")


def test_an_address_holds_the_view(page, written):
    page.mouse.click(*point(page, "0.0", 10, 2))
    page.keyboard.press("j")
    page.keyboard.press("+")
    page.locator('input[data-key="0.2"]').check()
    page.select_option("#version", "1")
    page.select_option("#base", "0")
    settle(page)
    settle(page)
    address, shown = page.url, facts(page)
    assert {"v=1,0", "s=1"} <= set(address.partition("#")[2].split("&"))
    other = page.context.new_page()
    open_page(other, written, "#" + address.partition("#")[2])
    assert facts(other) == shown
    assert other.input_value("#version") == "1"
    assert other.input_value("#order") == "memory"
    assert other.locator('.plot[data-row="0.2"]').is_visible()


def test_versions_and_their_difference_are_saved_as_shown(page, recorded, tmp_path):
    model, x, traces = recorded
    kept = record_traces(model, x, edits=[Edit("low", "forget_gate", set=1.0)])

    def saved(end):
        with page.expect_download() as download:
            page.click("#export-csv")
        assert download.value.suggested_filename.endswith(f"{end}.csv")
        path = tmp_path / "saved.csv"
        download.value.save_as(path)
        rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
        rows = [row for row in rows if (row["layer"], row["quantity"]) == ("low", "cell")]
        return np.array([float(row["value"]) for row in rows]).reshape(40, 12)

    one, other = (tree["low/cell"].values for tree in (traces, kept))
    rounding = np.ptp([one, other]) / 250
    np.testing.assert_allclose(saved("as-it-is"), one[0], atol=rounding)
    page.select_option("#version", "1")
    settle(page)
    np.testing.assert_allclose(saved("nothing-forgotten"), other[0], atol=rounding)
    page.select_option("#base", "0")
    settle(page)
    difference = saved("nothing-forgotten-less-as-it-is")
    np.testing.assert_allclose(difference, (other - one)[0], atol=rounding)
    with page.expect_download() as download:
        page.click("#export-png")
    download.value.save_as(tmp_path / "saved.png")
    assert (tmp_path / "saved.png").read_bytes()[:4] == b"\x89PNG"


def test_a_small_difference_is_seen(browser, recorded, tmp_path):
    model, x, traces = recorded
    other = record_traces(model, x, edits=[Edit("low", "input_gate", scale=1.001)])
    page = browser.new_page()
    open_page(page, write_explorer({1: traces, 2: other}, tmp_path / "a.html"), "#v=1,0")
    page.mouse.move(*point(page, "0.1", 30, 4))
    settle(page)
    change = (other["low/cell"] - traces["low/cell"]).values
    told = facts(page)
    unit = int(told["unit"].split()[0])
    cell = next(text for name, text in told.items() if name.startswith("cell state"))
    assert abs(number(cell) - change[0, 30, unit]) <= np.ptp(change[..., unit]) / 200
    assert 0 < np.abs(change).max() < 0.01
    page.close()


def test_only_steps_that_no_layer_runs_are_padding(browser, tmp_path):
    given = keras.Input((6, 2))
    masked = L.LSTM(2, return_sequences=True, name="masked")(L.Masking()(given))
    plain = L.LSTM(2, return_sequences=True, name="plain")(given)
    model = keras.Model(given, L.Concatenate()([masked, plain]))
    x = np.ones((2, 6, 2), "float32")
    x[:, 4:] = 0
    counts = np.zeros((2, 6, 20))
    counts[1, 2, 3] = 7  # nearly all are 0
    page = browser.new_page()
    traces = record_traces(model, x)
    open_page(page, write_explorer(traces, tmp_path / "a.html", inputs=counts, targets=x), "#c=5")
    told = facts(page)
    assert told["step"] == "5"
    assert "no value" not in told["target: targets"]
    assert not page.locator("#version").is_visible()
    box = page.locator('.plot[data-row="series-0"]')
    script = """(canvas) => {
        const { width, height } = canvas;
        const data = canvas.getContext("2d").getImageData(50, 0, width - 60, height).data;
        const colours = new Set();
        for (let at = 0; at < data.length; at += 4) colours.add(data.slice(at, at + 3).join());
        return colours.size;
    }"""
    assert box.locator("canvas.base").evaluate(script) <= 3  # no hatching: zeros have a colour
    page.close()


def test_a_click_on_a_trajectory_chooses_its_sample(page):
    assert page.locator(".trajectory .entry").all_inner_texts() == [EVIL, "d", "u"]
    box = page.locator("#trajectory").bounding_box()
    chosen = set()
    for part in np.linspace(0.1, 0.9, 9):
        for other in (0.3, 0.5, 0.7):
            page.mouse.click(box["x"] + box["width"] * part, box["y"] + box["height"] * other)
        settle(page)
        chosen.add(page.locator('#samples [aria-selected="true"]').get_attribute("data-sample"))
    assert len(chosen) > 1


def test_a_name_is_shown_and_not_run(page):
    assert page.locator("#samples li").nth(1).locator(".name").inner_text() == EVIL
    assert page.locator("img").count() == 0
    page.fill("#search", "zero")
    assert page.locator("#samples li").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_sideways_scroll(browser, written, scheme):
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, color_scheme=scheme
    )
    page = context.new_page()
    open_page(page, written, "#c=10,0,1,3&u=0,3&sel=0,0,0,10,14,0.1,0,0")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    cut = """() => [...document.querySelectorAll("#explorer *")].filter((one) => {
        const { left, right, width } = one.getBoundingClientRect();
        return width > 0 && (left < -1 || right > 391);
    }).map((one) => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(cut) == []
    assert page.locator("html").get_attribute("data-scheme") == scheme
    context.close()


def test_a_notebook_shows_it_in_a_frame(browser, recorded):
    page = browser.new_page()
    told = []
    page.on("pageerror", lambda error: told.append(str(error)))
    page.set_content(f"<main>{explore(recorded[2], title='framed')._repr_html_()}</main>")
    frame = page.frame_locator("iframe")
    frame.locator("#explorer[data-ready]").wait_for()
    frame.locator('.plot[data-row="0.0"]').hover()
    assert frame.locator("h1").inner_text() == "framed"
    assert told == []
    page.close()


def test_the_bundle_is_built_from_its_sources(tmp_path):
    """`make explorer` installs what builds it, which takes npm; where it never ran, this skips."""
    source, built = ROOT / "src/explorer", ROOT / "src/lstm_explorer"
    if not (source / "node_modules").is_dir():
        pytest.skip("needs Node: make explorer")
    shutil.copytree(source, tmp_path / "explorer", symlinks=True)
    (tmp_path / "lstm_explorer").mkdir()
    subprocess.run(["npm", "run", "--silent", "build"], cwd=tmp_path / "explorer", check=True)
    for name in ("page.js", "page.css"):
        assert (tmp_path / "lstm_explorer" / name).read_bytes() == (built / name).read_bytes()


def test_nothing_in_the_bundle_ends_its_element():
    assert "</script" not in (ROOT / "src/lstm_explorer/page.js").read_text(encoding="utf-8")
    assert "</style" not in (ROOT / "src/lstm_explorer/page.css").read_text(encoding="utf-8")
