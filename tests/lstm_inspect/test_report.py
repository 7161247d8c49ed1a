"""The report: the same bytes for the same model, and a page that anyone can read."""

import re

import keras
import numpy as np
import pytest

from lstm_inspect import inspect_model
from lstm_states import reset_states
from tests.lstm_inspect.models import L, numbers, padded, sequential, waves

EVIL = '</script><img src="http://127.0.0.1:9/x.png" onerror="document.title=1">'


LONG = "a_name_that_somebody_gave_without_thinking_of_tables_" * 3


@pytest.fixture(scope="module")
def found():
    model = sequential(
        (None, 2),
        L.Bidirectional(L.LSTM(5, return_sequences=True), name="both"),
        L.GRU(4, name=LONG),
        L.Dense(1),
    )
    return inspect_model(model, padded(12), labels=[EVIL, *"bcbcbcbcbcb"], title=EVIL)


def test_the_same_model_and_data_give_the_same_bytes():
    model = sequential((None, 2), L.LSTM(3), L.Dense(1))
    one, other = (inspect_model(model, padded(), labels=np.arange(8)) for _ in range(2))
    assert one.page == other.page
    assert inspect_model(model, padded(), labels=np.arange(8) % 2).page != one.page


def test_the_model_stays_as_it_was():
    model = sequential((6, 1), L.LSTM(3, stateful=True, name="lstm"), batch=4)
    model.predict(waves(4, 6), batch_size=4, verbose=0)
    kept = [state.numpy() for state in model.get_layer("lstm").states]
    weights = model.get_weights()
    carried = inspect_model(model, waves(8, 6))
    for state, before in zip(model.get_layer("lstm").states, kept, strict=True):
        np.testing.assert_array_equal(state, before)
    for one, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, before)
    reset_states(model)
    assert inspect_model(model, waves(8, 6)).page == carried.page  # all runs start from zero


def test_a_model_in_no_trap():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((None, 2)), L.LSTM(4), L.Dense(1)])
    found = inspect_model(model, numbers())
    assert found.findings == ()
    assert "<p>No trap found.</p>" in found.page
    assert found.probes is None
    assert "No labels were given." in found.page


def test_tables_hold_what_was_measured(found):
    assert list(found.layers.index) == ["both/forward", "both/backward", LONG]
    assert found.layers["residual"].max() < 1e-5
    assert set(found.layers["mask"]) == {"none arrives; there is padding"}
    np.testing.assert_allclose(
        found.probes["selectivity"], found.probes["score"] - found.probes["control"]
    )
    assert (found.sensitivity["share of the range"] >= 0).all()


def test_a_report_of_states_that_are_nan():
    x = numbers(12)
    x[3, 2] = np.nan
    found = inspect_model(sequential((None, 2), L.LSTM(3)), x, labels=np.arange(12) % 2)
    assert np.isnan(found.probes["score"]).all()
    assert "Its states are NaN" in found.page


def test_the_commonest_class_is_that_of_the_steps_that_are_scored():
    model = sequential((None, 2), L.Masking(), L.LSTM(3))
    x = padded(20)
    labels = np.where((x == 0).all(2), 7, x[..., 0] > 0)  # padding has a class of its own
    found = inspect_model(model, x, labels=labels)
    held_out = np.random.default_rng(0).permutation(20)[:10]
    real = labels[held_out][labels[held_out] < 7]
    assert found.probes["commonest class"].item() == pytest.approx(
        max(real.mean(), 1 - real.mean())
    )


def test_a_finding_brings_the_answer_along(found):
    told = "What is the output at masked steps? the last real output; zeros before the first real"
    assert told in found.page


def test_numbers_are_read_as_numbers():
    model = sequential((None, 2), L.LSTM(8, name="lstm"))
    x = numbers(40)
    found = inspect_model(model, x, labels=x.mean((1, 2)))
    assert "R² of a linear probe" in found.page


def test_a_model_with_a_layer_whose_states_are_no_vectors():
    model = sequential((4, 6, 2), L.ConvLSTM1D(2, 3, name="conv"))
    found = inspect_model(model, np.random.default_rng(0).normal(size=(4, 4, 6, 2)))
    assert "The explorer cannot show these states" in found.page
    assert list(found.layers.index) == ["conv"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": [1, 2]}, r"labels has shape \(2,\); it must be \(8,\)"),
        ({"labels": [np.nan] * 8}, "labels holds NaN"),
        ({"labels": ["a", None] * 4}, "labels holds NaN or nothing for sample 1"),
        ({"labels": [[1], [2, 3]] * 4}, "labels is no array"),
        ({"labels": [1j] * 8}, "labels holds complex128 values; they must be texts or numbers"),
        ({"mask": np.ones((8, 3))}, r"mask has shape \(8, 3\); it must be \(8, 6\)"),
        ({"tokens": ["a"]}, "tokens needs inputs that are whole numbers"),
        ({"samples": 0}, "samples is 0"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options, said):
    model = sequential((None, 2), L.LSTM(3))
    with pytest.raises(ValueError, match=said):
        inspect_model(model, numbers(), **options)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="load it first"):
        inspect_model("model.keras", numbers())


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_in_a_browser(found, browser, tmp_path, width, scheme):
    path = found.write(tmp_path / "report.html")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(path.as_uri())
    page.locator("iframe").scroll_into_view_if_needed()
    page.frame_locator("iframe").locator("#explorer[data-ready]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
    assert told == []
    assert page.title() == EVIL
    assert page.locator("h1").inner_text() == EVIL
    # A long name leaves room for what is said of the layer.
    widths = page.locator("tbody th").evaluate_all("all => all.map(one => one.offsetWidth)")
    assert max(widths) <= 0.5 * width
    heads = page.locator("h1, h2, h3").evaluate_all("all => all.map(one => one.tagName)")
    assert heads == ["H1", *["H2"] * 6]
    sizes = page.locator("main *").evaluate_all(
        "all => all.map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 12
    for name in ("p", "cite", ".tag", "thead th", "td"):
        assert contrast(page.locator(f"main {name}").first) >= 4.5, name
    context.close()


def contrast(place):
    """The contrast of a text and what is behind it, as WCAG has it."""
    colours = place.evaluate(
        """one => {
          let behind = one;
          const back = (at) => getComputedStyle(at).backgroundColor;
          while (back(behind) === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
          return [getComputedStyle(one).color, back(behind)];
        }"""
    )
    lights = []
    for colour in colours:
        parts = np.array([int(n) / 255 for n in re.findall(r"\d+", colour)[:3]])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lights.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(lights) / min(lights)
