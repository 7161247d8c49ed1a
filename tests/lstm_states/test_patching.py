"""Patch grids against single recordings with edits, and what is refused."""

import keras
import numpy as np
import pytest

from lstm_states import Edit, UnsupportedLayerError, record_patch_grid, record_traces
from lstm_states.plots import plot_patch_grid
from tests.conftest import shake

L = keras.layers


@pytest.fixture(scope="module")
def model():
    made = keras.Sequential(
        [
            keras.Input((9, 3)),
            L.LSTM(5, return_sequences=True, name="a"),
            L.GRU(4, name="b"),
            L.Dense(1),
        ]
    )
    shake(made, np.random.default_rng(1))
    return made


@pytest.fixture(scope="module")
def inputs():
    clean = np.random.default_rng(2).normal(size=(3, 9, 3)).astype("float32")
    corrupted = clean.copy()
    corrupted[:, 4] = 0
    return clean, corrupted


@pytest.mark.parametrize("rows", [1, 7, 1024])
@pytest.mark.parametrize("masked", [False, True])
def test_a_grid_equals_one_recording_a_place(model, inputs, rows, masked):
    if rows == 1 and masked:
        return  # slow, and tells nothing more
    clean, corrupted = inputs
    mask = np.ones((3, 9), bool)
    mask[0, 6:] = mask[1, 2] = False
    mask = mask if masked else None
    grid = record_patch_grid(model, clean, corrupted, mask=mask, rows=rows)
    source = record_traces(model, clean, mask=mask)
    start = record_traces(model, corrupted, mask=mask)["outputs"].values[:, 0]
    np.testing.assert_allclose(grid["corrupted"], start, atol=1e-6)
    np.testing.assert_allclose(grid["clean"], source["outputs"][:, 0], atol=1e-6)
    for layer, states in {"a": ("hidden", "cell"), "b": ("hidden",)}.items():
        for time in (0, 4, 8) if rows == 1024 else (5,):
            edits = [Edit(layer, name, set=source[f"{layer}/{name}"], time=time) for name in states]
            expected = record_traces(model, corrupted, mask=mask, edits=edits)["outputs"][:, 0]
            found = grid["score"].sel(layer=layer, time=time)
            np.testing.assert_allclose(found, expected, atol=1e-6)
            wanted = grid["clean"].values - start
            share = ((expected.values - start) * wanted).sum() / (wanted**2).sum()
            np.testing.assert_allclose(
                grid["carried"].sel(layer=layer, time=time), share, atol=1e-4
            )


def test_what_a_grid_shows(model, inputs):
    clean, corrupted = inputs
    grid = record_patch_grid(model, clean, corrupted)
    carried = grid["carried"]
    np.testing.assert_allclose(carried.sel(time=slice(0, 3)), 0, atol=1e-5)  # nothing differs yet
    np.testing.assert_allclose(carried.sel(layer="b", time=8), 1, atol=1e-5)  # the output is this
    assert carried.sel(layer="a", time=4) > carried.sel(layer="a", time=8)
    figure = plot_patch_grid(grid, title="The difference moves up")
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    np.testing.assert_array_equal(lines["a"], carried.sel(layer="a"))
    np.testing.assert_array_equal(lines["b"], carried.sel(layer="b"))


def test_a_grid_by_quantity_and_for_all_steps(model, inputs):
    clean, corrupted = inputs
    grid = record_patch_grid(
        model, clean, corrupted, over=("quantity", "layer"), quantities=["hidden", "candidate"]
    )
    assert grid["carried"].dims == ("quantity", "layer")
    np.testing.assert_allclose(grid["carried"].sel(quantity="hidden"), 1, atol=1e-5)
    source = record_traces(model, clean)
    edits = [Edit("a", "candidate", set=source["a/candidate"])]
    expected = record_traces(model, corrupted, edits=edits)["outputs"][:, 0]
    found = grid["score"].sel(layer="a", quantity="candidate")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(ValueError, match="a figure needs 'time'"):
        plot_patch_grid(grid, title="none")


def test_what_no_grid_can_be_made_of_is_refused(model, inputs):
    clean, corrupted = inputs
    cases = {
        r"over is \('layer', 'step'\)": {"over": ("layer", "step")},
        "rows is 0": {"rows": 0},
        "quantities is 'gate'": {"quantities": "gate"},
        r"score returns float32 of shape \(3, 1\)": {"score": lambda y: y},
    }
    for says, options in cases.items():
        with pytest.raises(ValueError, match=says):
            record_patch_grid(model, clean, corrupted, **options)
    with pytest.raises(ValueError, match=r"clean has the shapes .* not the same"):
        record_patch_grid(model, clean, corrupted[:, :8])
    with pytest.raises(ValueError, match="no state carries a difference"):
        record_patch_grid(model, clean, clean)
    shared = L.LSTM(3, return_sequences=True, name="shared")
    given = keras.Input((9, 3))
    twice = keras.Model(given, L.Dense(1)(shared(shared(given))[:, -1]))
    with pytest.raises(UnsupportedLayerError, match="'shared' is called several times"):
        record_patch_grid(twice, clean, corrupted)
