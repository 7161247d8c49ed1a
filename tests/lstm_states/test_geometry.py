"""Principal directions of known clouds; dead, copied and mirrored units."""

import numpy as np
import pytest

from lstm_states import find_idle_units, measure_principal_directions
from tests.lstm_states.trees import node, tree

MASK = [[1, 1, 1], [1, 0, 0]]


def test_directions_of_a_known_cloud():
    # Four real steps: ±5 along (3, -4) / 5 and ±1 along (4, 3) / 5, around (10, 20).
    long, short = np.array([3, -4]), np.array([0.8, 0.6])
    moves = np.array([[long, -long, short], [-short, [1e6, 0], [np.nan, 0]]])
    hidden = moves + np.array([10, 20])
    traces = tree(layer=node(MASK, hidden=hidden, row="row"))
    found = measure_principal_directions(traces, "layer")
    np.testing.assert_allclose(found["mean"], [10, 20])
    # The largest entry is positive.
    np.testing.assert_allclose(found["directions"], [[-0.6, 0.8], [0.8, 0.6]], atol=1e-12)
    np.testing.assert_allclose(found["variance"], [50 / 3, 2 / 3])
    np.testing.assert_allclose(found["share"], [25 / 26, 1 / 26])
    assert found["projection"].dims == ("row", "time", "direction")
    np.testing.assert_allclose(found["projection"][0], [[-5, 0], [5, 0], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(found["projection"][1, 0], [0, -1], atol=1e-12)
    assert found["projection"][1, 1:].isnull().all()


def test_what_never_moves_has_no_share():
    found = measure_principal_directions(tree(layer=node(hidden=np.full((1, 3, 1), 0.3))), "layer")
    assert found["variance"].item() == 0
    assert np.isnan(found["share"].item())


def test_any_quantity_has_directions():
    cell = np.array([[[0.0, 0], [1, 1]]])
    traces = tree(layer=node(hidden=0 * cell, forget_gate=cell))
    found = measure_principal_directions(traces, "layer", quantity="forget_gate")
    np.testing.assert_allclose(found["share"], [1, 0], atol=1e-12)
    np.testing.assert_allclose(found["directions"][0], [0.5**0.5] * 2)


def test_clouds_without_directions_are_refused():
    hidden = np.ones((2, 3, 2))
    broken = hidden.copy()
    broken[1, 0, 1] = np.inf
    cases = {
        "layer 'a' has 1 real steps; a variance needs two": node(
            [[1, 0, 0], [0, 0, 0]], hidden=hidden
        ),
        "layer 'a' holds NaN or infinity": node(MASK, hidden=broken),
        r"layer 'a' has 'hidden' with axes \('height', 'unit'\)": node(
            hidden=np.ones((1, 3, 2, 2))
        ),
        "layer 'a' has no 'hidden'": node(cell=hidden),
    }
    for says, one in cases.items():
        with pytest.raises(ValueError, match=says):
            measure_principal_directions(tree(a=one), "a")
    for other in ("b", ["a"]):
        with pytest.raises(ValueError, match=r"layer is .*; the traces hold \['a'\]"):
            measure_principal_directions(tree(a=one), other)


def test_dead_and_duplicate_units_are_found():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(2, 200, 6))
    hidden[..., 1] = 0.7  # dead
    hidden[..., 2] = 1e-3 * hidden[..., 0]  # nearly dead, and no duplicate then
    hidden[..., 4] = 5 - 2 * hidden[..., 3]  # a mirror
    hidden[..., 5] = hidden[..., 0] + 0.05 * rng.normal(size=(2, 200))  # nearly a copy
    mask = np.ones((2, 200), bool)
    mask[1, 100:] = False
    hidden[1, 100:] = 1e3 * rng.normal(size=(100, 6))
    narrow = node(hidden=rng.normal(size=(1, 50, 2)))
    traces = tree(layer=node(mask, hidden=hidden), narrow=narrow)
    found = find_idle_units(traces)
    assert found["dead"].dtype == bool
    np.testing.assert_array_equal(found["dead"].sel(layer="layer"), [0, 1, 1, 0, 0, 0])
    assert not found["dead"].sel(layer="narrow").any()
    real = hidden[mask]
    np.testing.assert_allclose(found["variance"].sel(layer="layer"), real.var(0), atol=1e-12)
    assert found["variance"].sel(layer="narrow").isnull().sum() == 4
    assert found["pair_layer"].values.tolist() == ["layer", "layer"]
    np.testing.assert_array_equal(found["pair_unit"], [3, 0])
    np.testing.assert_array_equal(found["pair_other"], [4, 5])
    near = np.corrcoef(real[:, 0], real[:, 5])[0, 1]
    np.testing.assert_allclose(found["correlation"], [-1, near], rtol=1e-12)
    loose = find_idle_units(traces, dead=1e-9, correlated=0.9999)
    np.testing.assert_array_equal(loose["dead"].sel(layer="layer"), [0, 1, 0, 0, 0, 0])
    assert {(int(a), int(b)) for a, b in zip(loose.pair_unit, loose.pair_other, strict=True)} == {
        (0, 2),
        (3, 4),
    }


def test_a_layer_that_never_moves_is_dead():
    found = find_idle_units(tree(layer=node(hidden=np.ones((1, 4, 2)))))
    assert found["dead"].all()
    assert found.sizes["pair"] == 0


def test_idle_units_keep_their_numbers():
    hidden = np.random.default_rng(0).normal(size=(1, 9, 1)) * [1, 1, 0]
    traces = tree(layer=node(hidden=hidden).assign_coords(unit=[2, 7, 8]))
    found = find_idle_units(traces)
    assert (found["pair_unit"].item(), found["pair_other"].item()) == (2, 7)
    assert found["dead"].sel(layer="layer", unit=8).item()
    main = measure_principal_directions(traces, "layer").isel(direction=0)
    np.testing.assert_allclose(main["directions"].sel(unit=[8, 7]), [0, 0.5**0.5], atol=1e-12)
    np.testing.assert_allclose(main["projection"].var(ddof=1), main["variance"])


def test_limits_and_layers_that_make_no_sense_are_refused():
    traces = tree(a=node([[0, 0]], hidden=np.ones((1, 2, 2))))
    for limits in ({"dead": -0.1}, {"correlated": 1.0}, {"dead": np.nan}, {"dead": "a"}):
        with pytest.raises(ValueError, match=f"{next(iter(limits))} is .*from 0 to below 1"):
            find_idle_units(traces, **limits)
    for mask, real in (([[0, 0]], 0), ([[0, 1]], 1)):
        one = tree(a=node(mask, hidden=np.ones((1, 2, 2))))
        with pytest.raises(ValueError, match=f"'a' has {real} real steps; a variance needs two"):
            find_idle_units(one)
    with pytest.raises(ValueError, match=r"'inputs' with axes \('feature',\)"):
        find_idle_units(with_inputs(hidden=np.ones((1, 2, 2))), quantity="inputs")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_varies_by_rounding_alone_never_moves(dtype):
    still = np.random.default_rng(0).normal(size=6).astype(dtype)
    hidden = np.tile(still, (7, 13, 1))
    flicker = hidden.copy()
    flicker[::2] = np.nextafter(flicker[::2], np.inf, dtype=dtype)  # a settled layer does this
    for states in (hidden, flicker):
        layer = node(hidden=states)
        layer["hidden"] = layer["hidden"].astype(dtype)
        traces = tree(layer=layer)
        found = find_idle_units(traces)
        assert found["dead"].all()
        assert found.sizes["pair"] == 0
        assert measure_principal_directions(traces, "layer")["share"].isnull().all()


def test_small_states_beside_large_ones_do_move():
    hidden = np.array([[[1, 1e-30], [1, 2e-30], [1, 1e-30]]])
    traces = tree(layer=node(hidden=hidden))
    np.testing.assert_array_equal(find_idle_units(traces)["dead"][0], [1, 0])
    main = measure_principal_directions(traces, "layer")
    np.testing.assert_allclose(main["directions"][0], [0, 1], atol=1e-12)


def with_inputs(**quantities):
    """A tree whose layer is given two features."""
    layer = node(**quantities)
    given = np.random.default_rng(0).normal(size=(*layer["mask"].shape, 2)) * [1, 2]
    return tree(a=layer.assign(inputs=(("sample", "time", "feature"), given)))


def test_inputs_have_directions_too():
    traces = with_inputs(hidden=np.ones((1, 90, 3)))
    main = measure_principal_directions(traces, "a", quantity="inputs")
    assert main["directions"].dims == ("direction", "feature")
    given = traces["a/inputs"].values[0]
    np.testing.assert_allclose(main["variance"].sum(), given.var(0, ddof=1).sum())
    np.testing.assert_allclose(main["projection"][0].var("time", ddof=1), main["variance"])
