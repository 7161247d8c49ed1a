"""What a page holds, read back as a browser reads it."""

import base64
import gzip
import json
import re

import keras
import numpy as np
import pytest
import xarray as xr

import lstm_explorer.content
from lstm_explorer import explore, write_explorer
from lstm_states import (
    Edit,
    measure_half_lives,
    measure_principal_directions,
    record_traces,
    write_traces,
)
from lstm_states.traces.gradients import record_gradients

L = keras.layers


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    given = keras.Input((6, 3))
    masked = L.Masking()(given)
    below = L.LSTM(4, return_sequences=True, name="below")(masked)
    above = L.GRU(2, return_sequences=True, go_backwards=True, name="above")(below)
    return keras.Model(given, L.TimeDistributed(L.Dense(1))(above), name="small")


@pytest.fixture(scope="module")
def x():
    values = np.random.default_rng(0).normal(size=(5, 6, 3)).astype("float32")
    values[1, 4:] = 0
    return values


@pytest.fixture(scope="module")
def traces(model, x):
    return record_traces(model, x)


def script(page, name):
    return re.search(rf'<script [^>]*id="{name}">(.*?)</script>', page, re.DOTALL)[1]


def read(page):
    """Return the header of a page, each block in it read back."""
    data = gzip.decompress(base64.b64decode(script(page, "values")))

    def values(part):
        if isinstance(part, list):
            return [values(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "low" not in part:
            return {name: values(each) for name, each in part.items()}
        size = int(np.prod(part["shape"]))
        codes = np.frombuffer(data, f"<u{part['bytes']}", size, part["at"]).reshape(part["shape"])
        nothing = codes == np.iinfo(codes.dtype).max
        return np.where(nothing, np.nan, part["low"] + part["step"] * codes)

    return values(json.loads(script(page, "header")))


def test_a_page_holds_what_was_recorded(traces, x):
    shown = read(explore(traces, inputs=x, labels=list("abcab"), targets=x[:, 0, :2]).page)
    assert shown["title"] == "small"
    assert shown["samples"] == list("01234")
    assert shown["steps"] == [0, 1, 2, 3, 4, 5]
    assert shown["labels"] == {"classes": ["a", "b", "c"], "of": [0, 1, 2, 0, 1]}
    assert shown["chosen"] == ""
    assert shown["tokens"] is None
    below, above = shown["layers"]
    assert [below["address"], above["address"]] == ["below", "above"]
    assert [below["kind"], above["kind"]] == ["LSTM", "GRU"]
    assert [below["backwards"], above["backwards"]] == [False, True]
    for layer, names in (
        (below, ["hidden", "cell", "forget_gate"]),
        (above, ["hidden", "update_gate"]),
    ):
        node = traces[layer["address"]]
        assert [own["name"] for own in layer["quantities"]] == names
        assert layer["units"] == list(range(node.sizes["unit"]))
        np.testing.assert_array_equal(layer["mask"], node["mask"])
        for own in layer["quantities"]:
            expected = node[own["name"]].values
            assert own["long_name"] == node[own["name"]].attrs["long_name"]
            rounding = np.ptp(expected[np.isfinite(expected)]) / 508
            np.testing.assert_allclose(own["values"], expected, rtol=1e-5, atol=rounding * 1.001)
        half_lives = measure_half_lives(traces)["half_life"].sel(layer=layer["address"])
        main = measure_principal_directions(traces, layer["address"])["projection"][..., :3]
        assert layer["trajectory"]["quantity"] == "hidden"
        np.testing.assert_allclose(layer["trajectory"]["values"], main, atol=0.002)
        np.testing.assert_allclose(
            layer["half_life"], [half_lives[: len(layer["units"])]], rtol=1e-3
        )
    assert [below["memory"]["kept"], above["memory"]["kept"]] == ["forget_gate", "update_gate"]
    node = traces["below"]
    written = node["input_gate"] * node["candidate"]
    np.testing.assert_allclose(below["memory"]["written"], written, atol=0.002)
    series = {one["name"]: one for one in shown["series"]}
    assert [one["role"] for one in shown["series"]] == ["input", "output", "target"]
    for name, values in (("inputs", x), ("outputs", traces["outputs"]), ("targets", x[:, 0, :2])):
        np.testing.assert_allclose(series[name]["values"], values, atol=1e-4)


def test_selected_traces_keep_their_labels(model, x):
    part = {"sample": [3, 1], "time": slice(2, 5), "unit": [1, 0]}
    traces = record_traces(model, x, isel=part)
    shown = read(explore(traces, quantities=["cell", "reset_gate"]).page)
    assert shown["samples"] == ["3", "1"]
    assert shown["steps"] == [2, 3, 4]
    assert [layer["units"] for layer in shown["layers"]] == [[1, 0], [1, 0]]
    names = [[own["name"] for own in layer["quantities"]] for layer in shown["layers"]]
    assert names == [["cell"], ["reset_gate"]]
    assert [layer["memory"] for layer in shown["layers"]] == [None, None]  # no gate is shown
    few = record_traces(model, x, quantities=["hidden", "cell", "forget_gate"], layers="below")
    assert read(explore(few).page)["layers"][0]["memory"] is None
    gap = traces.isel(time=[0, 2])
    assert read(explore(gap, layers="below").page)["layers"][0]["memory"] is None
    cell = shown["layers"][0]["quantities"][0]["values"]
    np.testing.assert_allclose(cell, traces["below/cell"], atol=np.ptp(cell) / 500)


def test_units_that_move_alike_are_neighbours():
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(200, 3))
    of = rng.permutation(np.repeat([0, 1, 2], 5))
    rows = groups[:, of] + 0.1 * rng.normal(size=(200, 15))
    order = lstm_explorer.content._alike(rows)
    assert sorted(order) == list(range(15))
    assert np.count_nonzero(np.diff(of[order])) == 2
    assert lstm_explorer.content._alike(np.zeros((4, 2))) == [0, 1]


def test_words_are_kept_by_place(traces):
    codes = np.array([[0, 1, 2, 3, 2, 1]] * 5)
    words = ["the", "</script>", "état", "fell", "never used"]
    shown = read(explore(traces, inputs=codes, tokens=words).page)["tokens"]
    assert shown["vocabulary"] == words[:4]
    np.testing.assert_array_equal(shown["codes"], codes)


def test_more_samples_than_fit_are_chosen_evenly_and_it_is_said(traces, x, monkeypatch):
    each = 6 * (4 * 4 + 3 * 2)  # with what each step writes
    monkeypatch.setattr(lstm_explorer.content, "MOST_VALUES", 3 * each)
    shown = read(explore(traces, inputs=x, labels=range(5), names=list("vwxyz")).page)
    assert shown["samples"] == ["v", "x", "z"]
    assert shown["labels"]["of"] == [0, 2, 4]
    assert shown["chosen"].startswith("3 of 5 samples are shown, evenly spaced")
    np.testing.assert_allclose(shown["series"][0]["values"], x[[0, 2, 4]], atol=1e-4)
    monkeypatch.setattr(lstm_explorer.content, "MOST_VALUES", each - 1)
    with pytest.raises(ValueError, match=f"one sample has {each} values; a page holds {each - 1}"):
        explore(traces)


def test_versions_stand_one_after_the_other(model, x, traces, tmp_path):
    edited = record_traces(model, x, edits=[Edit("below", "forget_gate", set=1.0)])
    write_traces(edited, tmp_path / "edited.zarr")
    page = explore({"as it is": traces, "kept": tmp_path / "edited.zarr"}, targets=x[:, 0]).page
    shown = read(page)
    assert shown["versions"] == ["as it is", "kept"]
    below = shown["layers"][0]
    for own in below["quantities"]:
        both = np.concatenate([tree["below"][own["name"]].values for tree in (traces, edited)])
        rounding = np.ptp(both[np.isfinite(both)]) / 508
        np.testing.assert_allclose(own["values"], both, rtol=1e-5, atol=rounding * 1.001)
    assert np.shape(below["mask"]) == (10, 6)
    assert below["half_life"][0] != [None] * 4
    assert below["half_life"][1] == [None] * 4  # nothing fades
    outputs, targets = shown["series"]
    both = np.concatenate([tree["outputs"].values for tree in (traces, edited)])
    np.testing.assert_allclose(outputs["values"], both, atol=1e-4)
    assert np.shape(targets["values"]) == (5, 3)
    assert read(explore(traces).page)["versions"] == [""]
    for other, says in (
        (record_traces(model, x[:4]), "'b' of the traces has another sample than the first at"),
        (record_traces(model, x, layers="below"), "'b' of the traces has another sample .*'above'"),
        (record_traces(model, x, quantities="hidden"), r"'b' of the traces lacks \['cell', "),
    ):
        with pytest.raises(ValueError, match=says):
            explore({"a": traces, "b": other})
    with pytest.raises(ValueError, match="traces is empty"):
        explore({})


def test_a_store_gives_the_page_of_its_tree(traces, x, tmp_path):
    write_traces(traces, tmp_path / "states.zarr")
    path = write_explorer(tmp_path / "states.zarr", tmp_path / "states.html", inputs=x)
    assert path.read_bytes() == explore(traces, inputs=x).page.encode()


def test_a_name_can_neither_end_its_script_nor_load_anything(traces):
    name = '</script><img src="http://example.org/x.png" onerror="alert(1)">'
    page = explore(traces, names=[name] * 5, title=name).page
    assert read(page)["samples"] == [name] * 5
    assert "<img" not in page
    assert page.count("</script>") == 3
    frame = explore(traces, title=name)._repr_html_()
    assert frame.count("<") == 2
    assert frame.count('"') == 10


def test_a_hundred_samples_of_the_stack_are_small():
    rng = np.random.default_rng(0)
    nodes = {"/": xr.Dataset(attrs={"layers": ["one", "two"]})}
    for name, units in (("one", 64), ("two", 32)):
        shape = ("sample", "time", "unit"), rng.normal(size=(100, 100, units)).astype("float32")
        node = xr.Dataset(dict.fromkeys(("hidden", "cell", "forget_gate"), shape))
        node["forget_gate"] = 1 / (1 + np.exp(-node["forget_gate"]))
        node["mask"] = ("sample", "time"), np.ones((100, 100), bool)
        nodes[name] = node.assign_attrs(cell="LSTM", go_backwards=0)
    assert len(explore(xr.DataTree.from_dict(nodes)).page) < 5e6


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"layers": "nowhere"}, r"layers names 'nowhere'; the traces hold \['below', 'above'\]"),
        ({"layers": []}, r"layers is \[\]; it must name some of"),
        ({"quantities": "forget"}, "quantities is 'forget'; it must name some of .*'forget_gate'"),
        ({"quantities": "cell"}, r"layer 'above' holds none of \['cell'\], but \['hidden', "),
        ({"quantities": []}, r"quantities is \[\]"),
        ({"names": ["a"]}, "names has 1 entries; the traces hold 5 samples"),
        ({"labels": [1, 2]}, r"labels has shape \(2,\); it must be \(5,\)"),
        ({"inputs": np.zeros((4, 6, 3))}, r"inputs has shape \(4, 6, 3\); it must be \(5, 6, feat"),
        ({"inputs": np.zeros((5, 6, 0))}, r"inputs has shape \(5, 6, 0\)"),
        ({"inputs": [["a"] * 6] * 5}, "inputs holds <U1 values; they must be real numbers"),
        ({"targets": np.zeros((5, 6, 1, 1))}, r"targets has shape \(5, 6, 1, 1\)"),
        ({"tokens": ["a"]}, "tokens needs inputs"),
        ({"tokens": ["a"], "inputs": np.zeros((5, 6))}, "inputs has shape .* of float64"),
        ({"tokens": ["a"], "inputs": np.ones((5, 6), int)}, "holds places 1 to 1 in tokens"),
    ],
)
def test_what_does_not_fit_is_refused(traces, given, says):
    with pytest.raises(ValueError, match=says):
        explore(traces, **given)


def test_layers_that_have_no_place_are_refused(model, traces, x):
    with pytest.raises(ValueError, match="derivatives"):
        explore(record_gradients(model, x, output=lambda y: y[:, 0, 0]))
    broken = record_traces(model, x, edits=[Edit("below", "cell", set=np.inf, time=2)])
    with pytest.raises(ValueError, match="layer 'below' holds NaN or infinity in 'cell' at a real"):
        explore(broken)
    node = traces["above"].to_dataset()
    for other, says in (
        (node.rename(sample="row"), "layer 'above' received other rows than the samples"),
        (node.rename(unit="height"), "layer 'above' has states that are no vectors"),
        (node.isel(time=slice(3)), r"the layers have \{'below': 6, 'above': 3\} steps"),
        (node.isel(time=slice(0)), "layer 'above' holds no real step"),
    ):
        below = traces["below"].to_dataset()
        tree = xr.DataTree.from_dict(
            {"/": xr.Dataset(attrs=traces.attrs), "below": below, "above": other}
        )
        with pytest.raises(ValueError, match=says):
            explore(tree)


def test_states_that_stand_still_have_no_trajectory(model, x):
    still = record_traces(model, x, edits=[Edit("below", "hidden", set=0.5)])
    below, above = read(explore(still.isel(sample=slice(1)), quantities="hidden").page)["layers"]
    assert below["trajectory"] is None
    assert above["trajectory"]["share"][0] > 0.5
    one = read(explore(still.isel(sample=slice(1), time=slice(1)), layers="above").page)["layers"]
    assert one[0]["trajectory"] is None
