"""What a page holds, read back as a browser reads it."""

import base64
import gzip
import json
import re

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import xarray as xr

import lstm_explorer.content
from lstm_explorer import explore, layers, write_explorer
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
        if len(part["low"]) == 1 and part["low"] == [0.0] and part["step"] == [1.0]:
            return codes  # a mask, or places of words
        if codes.ndim == 3:
            codes = np.cumsum(codes, 1, dtype=codes.dtype)
        *_, columns = codes.shape
        low, step = (np.reshape(part[name], (-1, columns)) for name in ("low", "step"))
        version = np.repeat(np.arange(len(low)), len(codes) // len(low))
        inner = (slice(None), *[None] * (codes.ndim - 2))
        decoded = low[version][inner] + step[version][inner] * codes
        return np.where(codes == np.iinfo(codes.dtype).max, np.nan, decoded)

    return values(json.loads(script(page, "header")))


def assert_rounded(shown, expected, levels=253.5):
    """Each unit is rounded to a part of its own range."""
    unit_range = np.nanmax(expected, (0, 1)) - np.nanmin(expected, (0, 1))
    np.testing.assert_array_equal(np.isnan(shown), np.isnan(expected))
    assert np.nanmax(np.abs(shown - expected) - unit_range / (2 * levels)) <= 1e-7


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
            assert_rounded(own["values"], expected)
        half_lives = measure_half_lives(traces)["half_life"].sel(layer=layer["address"])
        main = measure_principal_directions(traces, layer["address"])["projection"][..., :2]
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


@pytest.mark.parametrize("edited", [False, True])
def test_what_was_written_adds_up_to_the_state(model, x, traces, edited):
    """With an edit, what the edit set; with masked steps, and in a layer that runs backwards."""
    edits = [Edit("below", "cell", set=0.5, time=2), Edit("above", "hidden", add=1.0, time=3)]
    tree = record_traces(model, x, edits=edits) if edited else traces
    for layer in read(explore(tree).page)["layers"]:
        memory, values = layer["memory"], {q["name"]: q["values"] for q in layer["quantities"]}
        turn = slice(None, None, -1 if layer["backwards"] else 1)
        state = np.zeros_like(values[memory["state"]][:, 0])
        mask = tree[layer["address"]]["mask"].values
        for step in range(6)[turn]:
            new = values[memory["kept"]][:, step] * state + memory["written"][:, step]
            state = np.where(mask[:, [step]], new, state)
            np.testing.assert_allclose(state, values[memory["state"]][:, step], atol=0.03)


def test_of_steps_with_gaps_nobody_knows_what_was_written(model, x):
    edits = [Edit("below", "forget_gate", set=0.9)]
    for tree in (
        record_traces(model, x, edits=edits).isel(time=slice(None, None, 2)),
        record_traces(model, x, edits=edits, isel={"time": slice(None, None, 2)}),
        record_traces(
            model, x, edits=[Edit("below", "cell", set=0.5, time=2)], isel={"time": slice(2, 6)}
        ),
    ):
        assert read(explore(tree, layers="below").page)["layers"][0]["memory"] is None
    whole = record_traces(model, x, edits=edits)
    assert (
        read(explore(whole.isel(time=slice(1, 6)), layers="below").page)["layers"][0]["memory"]
        is None
    )
    later = record_traces(model, x, isel={"time": slice(2, 6)})
    assert read(explore(later, layers="below").page)["layers"][0]["memory"] is not None


def test_units_that_move_alike_are_neighbours():
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(200, 3))
    of = rng.permutation(np.repeat([0, 1, 2], 5))
    rows = groups[:, of] + 0.1 * rng.normal(size=(200, 15))
    order = layers._alike(rows)
    assert sorted(order) == list(range(15))
    assert np.count_nonzero(np.diff(of[order])) == 2
    assert layers._alike(np.zeros((4, 2))) == [0, 1]


def test_words_are_kept_by_place(traces):
    codes = np.array([[0, 1, 2, 3, 2, 1]] * 5)
    words = ["the", "</script>", "état", "fell", "never used"]
    shown = read(explore(traces, inputs=codes, tokens=words).page)["tokens"]
    assert shown["vocabulary"] == words[:4]
    np.testing.assert_array_equal(shown["codes"], codes)


def test_arguments_of_other_libraries_are_taken(traces, x):
    named = xr.DataArray(x, dims=("sample", "time", "feature"), coords={"feature": ["a", "b", "c"]})
    shown = read(explore(traces, inputs=named.transpose("feature", "time", "sample")).page)
    assert shown["series"][0]["features"] == ["a", "b", "c"]
    np.testing.assert_allclose(shown["series"][0]["values"], x, atol=1e-4)
    kinds = pd.Categorical(["low", "high", "low", "low", "high"], ["low", "high", "none"])
    for labels, classes, of in (
        (pd.Series(kinds), ["low", "high"], [0, 1, 0, 0, 1]),
        (kinds, ["low", "high"], [0, 1, 0, 0, 1]),
        (tf.constant(["b", "a", "b", "b", "a"]), ["a", "b"], [1, 0, 1, 1, 0]),
        (np.array([10, 9, 10, 9, 9]), ["9", "10"], [1, 0, 1, 0, 0]),
        (x[:, 0, 0] > 9, ["False"], [0] * 5),
    ):
        shown = read(explore(traces, labels=labels, names=pd.Index(list("vwxyz"))).page)
        assert shown["labels"] == {"classes": classes, "of": of}
        assert shown["samples"] == list("vwxyz")
    words = np.array([f"word {n}" for n in range(100_000)])
    codes = np.full((5, 6), 99_999)
    assert read(explore(traces, inputs=codes, tokens=words).page)["tokens"]["vocabulary"] == [
        words[-1]
    ]


def test_targets_are_like_the_outputs(traces, x):
    by_step = read(explore(traces, targets=x[..., 0]).page)["series"][-1]["values"]
    np.testing.assert_allclose(by_step[..., 0], x[..., 0], atol=1e-4)
    last = traces.copy()
    last.dataset = traces.to_dataset().assign(outputs=traces["outputs"][:, -1])
    whole = read(explore(last, targets=np.eye(6)[:5]).page)["series"][-1]["values"]
    np.testing.assert_array_equal(whole, np.eye(6)[:5])


def test_layers_are_in_the_order_of_the_model(x):
    given = keras.Input((6, 3))
    both = L.Bidirectional(L.LSTM(2, return_sequences=True), name="both")(given)
    model = keras.Model(given, L.GRU(2, name="top")(both))
    layers = read(explore(record_traces(model, x)).page)["layers"]
    found = [layer["address"].rpartition("/")[0] or layer["address"] for layer in layers]
    assert found == ["both", "both", "top"]


@pytest.mark.parametrize(
    ("kind", "size"), [("float32", 3e38), ("float64", 1e300), ("float64", 1e-200)]
)
def test_huge_and_tiny_states_have_a_page(kind, size):
    rng = np.random.default_rng(0)
    values = (rng.uniform(-1, 1, size=(4, 6, 3)) * size).astype(kind)
    node = xr.Dataset({"hidden": (("sample", "time", "unit"), values)})
    node["mask"] = ("sample", "time"), np.ones((4, 6), bool)
    tree = xr.DataTree.from_dict(
        {"/": xr.Dataset(), "a": node.assign_attrs(cell="SimpleRNN", go_backwards=0)}
    )
    (layer,) = read(explore(tree).page)["layers"]
    np.testing.assert_allclose(layer["quantities"][0]["values"], values, atol=size / 200)
    assert 0 < sum(layer["trajectory"]["share"]) <= 1.001


def test_more_samples_than_fit_are_chosen_evenly_and_it_is_said(traces, x, monkeypatch):
    each = 6 * (4 * 4 + 3 * 2)  # with what each step writes
    each += 2 * 6 * (3 + 1)  # inputs and outputs
    monkeypatch.setattr(lstm_explorer.content, "MOST_BYTES", 3 * each)
    shown = read(explore(traces, inputs=x, labels=range(5), names=list("vwxyz")).page)
    assert shown["samples"] == ["v", "x", "z"]
    assert shown["labels"]["of"] == [0, 2, 4]
    assert shown["chosen"].startswith("3 of 5 samples are shown, evenly spaced")
    np.testing.assert_allclose(shown["series"][0]["values"], x[[0, 2, 4]], atol=1e-4)
    monkeypatch.setattr(lstm_explorer.content, "MOST_BYTES", each - 1)
    with pytest.raises(ValueError, match=f"one sample takes {each} bytes; a page holds {each - 1}"):
        explore(traces, inputs=x)


def test_a_large_unit_leaves_the_others_their_digits(model, x):
    edits = [Edit("below", "cell", set=1e6, time=3, unit=0)]
    edited = record_traces(model, x, edits=edits)
    shown = read(explore(edited, quantities="cell", layers="below").page)
    assert_rounded(shown["layers"][0]["quantities"][0]["values"], edited["below/cell"].values)


def test_small_differences_of_versions_are_kept(model, x, traces, tmp_path):
    edited = record_traces(model, x, edits=[Edit("below", "forget_gate", scale=1.0001)])
    write_traces(edited, tmp_path / "edited.zarr")
    page = explore({"as it is": traces, "kept": tmp_path / "edited.zarr"}, targets=x[:, 0]).page
    shown = read(page)
    assert shown["versions"] == ["as it is", "kept"]
    below = shown["layers"][0]
    for own in below["quantities"]:
        one, other = (tree["below"][own["name"]].values.astype(float) for tree in (traces, edited))
        limit = 65_000  # two bytes: little is left of a difference
        assert_rounded(own["values"][:5], one, levels=limit)
        assert_rounded(own["values"][5:], other, levels=limit)
    assert np.shape(below["mask"]) == (5, 6)
    outputs, targets = shown["series"]
    both = np.concatenate([tree["outputs"].values for tree in (traces, edited)])
    np.testing.assert_allclose(outputs["values"], both, atol=1e-4)
    assert np.shape(targets["values"]) == (5, 3)
    assert read(explore(traces).page)["versions"] == [""]
    kept = record_traces(model, x, edits=[Edit("below", "forget_gate", set=1.0)])
    lives = read(explore({1: traces, 2: kept}).page)["layers"][0]["half_life"]
    assert lives[1] == ["never"] * 4
    assert all(isinstance(life, float) for life in lives[0])


def test_versions_that_do_not_fit_are_refused(model, x, traces):
    shifted, quiet = x.copy(), record_traces(model, x, outputs=False)
    shifted[0, 4:] = 0
    for other, says in (
        (record_traces(model, x[:4]), "'b' of the traces has another sample than the first at"),
        (record_traces(model, x, layers="below"), "'b' of the traces has no layer 'above'"),
        (record_traces(model, x, quantities="hidden"), r"'b' of the traces lacks \['cell', "),
        (record_traces(model, shifted), "'b' of the traces masks other steps than the first"),
        (quiet, r"version 'b' of the traces has the outputs \{\}, the first one \{'outputs': "),
    ):
        with pytest.raises(ValueError, match=says):
            explore({"a": traces, "b": other})
    turned = traces.copy()
    turned["above"] = xr.DataTree(traces["above"].to_dataset().assign_attrs(go_backwards=0))
    with pytest.raises(ValueError, match="has go_backwards 0 at layer 'above', the first one 1"):
        explore({"a": traces, "b": turned})
    for given, says in (
        ({}, "traces is a dict; it must be a tree .* that isn't empty"),
        ([traces], "traces is a list"),
        (traces["below"].to_dataset(), "traces is a Dataset"),
        ({"a": traces, "b": None}, r"traces\['b'\] is a NoneType"),
        ({1: traces, "1": traces}, "two versions that are called '1'"),
    ):
        with pytest.raises(ValueError, match=says):
            explore(given)


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
        ({"layers": "nowhere"}, r"layers is 'nowhere'; it must name some of \['below', 'above'\]"),
        ({"layers": []}, r"layers is \[\]; it must name some of"),
        ({"quantities": "forget"}, "quantities is 'forget'; it must name some of .*'forget_gate'"),
        ({"quantities": "cell"}, r"layer 'above' holds none of \['cell'\], but \['hidden', "),
        ({"quantities": []}, r"quantities is \[\]"),
        ({"quantities": 5}, "quantities is 5"),
        ({"layers": 5}, "layers is 5; it must name some of"),
        ({"names": ["a"]}, "names has 1 entries; the traces hold 5 samples"),
        ({"names": "abcde"}, "names is 'abcde'; it must be a list"),
        ({"names": [None] * 5}, "names holds None; they must be texts or numbers"),
        ({"labels": [1, 2]}, "labels has 2 entries; the traces hold 5 samples"),
        ({"labels": [1, 2, np.nan, 4, 5]}, "labels holds nan for sample 2"),
        ({"labels": ["a", None, "c", "d", "e"]}, "labels holds None for sample 1"),
        ({"labels": [1, "1", 2, 3, 4]}, "labels mixes texts and numbers"),
        ({"inputs": np.zeros((4, 6, 3))}, r"inputs has shape \(4, 6, 3\); it must be \(5, 6, feat"),
        ({"inputs": np.zeros((5, 7))}, r"inputs has shape \(5, 7\); it must be \(5, 6, feature\)"),
        ({"inputs": [[1, 2], [3]]}, "inputs is no array: .*; it must be"),
        ({"inputs": np.zeros((5, 6, 0))}, r"inputs has shape \(5, 6, 0\)"),
        (
            {"inputs": xr.DataArray(np.zeros((5, 3, 3)), dims=("sample", "time", "f"))},
            "shape .5, 3, 3",
        ),
        ({"inputs": [["a"] * 6] * 5}, "inputs holds <U1 values; they must be real numbers"),
        ({"targets": np.zeros((5, 6, 1, 1))}, r"targets has shape \(5, 6, 1, 1\)"),
        ({"tokens": ["a"]}, "tokens needs inputs"),
        ({"tokens": ["a"], "inputs": np.zeros((5, 6))}, "inputs has shape .* of float64"),
        ({"tokens": ["a"], "inputs": np.ones((5, 6), int)}, "holds places 1 to 1 in tokens"),
        ({"tokens": {"a": 0}, "inputs": np.zeros((5, 6), int)}, "tokens is a dict; it must list"),
        (
            {"tokens": [b"a"], "inputs": np.zeros((5, 6), int)},
            "tokens holds b'a'; all must be texts",
        ),
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
