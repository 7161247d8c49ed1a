"""Distances by hand, and when they have faded."""

import numpy as np
import pytest
import xarray as xr

from lstm_states import measure_distances, measure_time_scales
from tests.lstm_states.trees import node, tree


def pair(one, other, mask=None, other_mask=None, **options):
    return (
        tree(layer=node(mask, hidden=one, **options)),
        tree(layer=node(other_mask, hidden=other, **options)),
    )


def test_distances_by_hand():
    one = [[[3, 4], [1, 1], [0, 0], [2, 0], [7, 7]]]
    other = [[[3, 0], [2, 2], [0, 1], [-2, 0], [9, 9]]]
    found = measure_distances(*pair(one, other, [[1, 1, 1, 1, 0]], [[1, 1, 1, 1, 1]]))
    assert found["euclidean"].dims == ("layer", "sample", "time")
    np.testing.assert_allclose(
        found["euclidean"].sel(layer="layer")[0], [4, 2**0.5, 1, 4, np.nan], rtol=1e-12
    )
    np.testing.assert_allclose(found["relative"][0, 0], [0.8, 1, np.inf, 2, np.nan], rtol=1e-12)
    np.testing.assert_allclose(found["cosine"][0, 0], [0.4, 0, np.nan, 2, np.nan], atol=1e-12)
    np.testing.assert_array_equal(found["mask"][0, 0], [1, 1, 1, 1, 0])
    assert measure_distances(*pair(one, other, None, [[0, 1, 1, 1, 1]]))["mask"].sum() == 4


def test_positions_and_rows_keep_their_place():
    space = np.zeros((1, 1, 2, 2))
    moved = space.copy()
    moved[0, 0] = [[1, 2], [2, 4]]
    assert measure_distances(*pair(space, moved))["euclidean"].item() == 5
    rows = measure_distances(*pair(np.zeros((3, 2, 1)), np.ones((3, 2, 1)), row="row"))
    assert rows["euclidean"].dims == ("layer", "row", "time")


def test_what_is_compared_is_chosen():
    def run(cell, time=2):
        return tree(
            a=node(hidden=np.zeros((1, 2, 1)), cell=np.full((1, 2, 1), cell)),
            b=node(hidden=np.zeros((1, time, 1))),
        )

    found = measure_distances(run(1.0), run(4.0), quantity="cell", layers="a")
    assert found["layer"].values.tolist() == ["a"]
    np.testing.assert_array_equal(found["euclidean"], 3)
    with pytest.raises(ValueError, match=r"'b' has no 'cell', but \['hidden'\]"):
        measure_distances(run(1.0), run(4.0), quantity="cell")
    with pytest.raises(ValueError, match=r"'b' has .*'time': 5.*'a' .*'time': 2.*layers="):
        measure_distances(run(1.0, 5), run(1.0, 5))
    with pytest.raises(ValueError, match=r"'b' has .*5, .* in traces, .*2, .* in others"):
        measure_distances(run(1.0, 5), run(1.0, 2), layers=["b"])
    with pytest.raises(ValueError, match=r"hold the layers \['a', 'b'\], the others \['a'\]"):
        measure_distances(run(1.0), tree(a=run(1.0)["a"].to_dataset()))
    with pytest.raises(ValueError, match="layer is 'c'; the traces hold"):
        measure_distances(run(1.0), run(1.0), layers=["c"])
    with pytest.raises(ValueError, match="'a' holds other samples, steps or units"):
        measure_distances(
            *(tree(a=run(1.0)["a"].to_dataset().assign_coords(time=t)) for t in ([0, 1], [1, 2]))
        )
    derived = run(1.0)
    derived.attrs["derivatives"] = 1
    with pytest.raises(ValueError, match="holds derivatives"):
        measure_distances(derived, derived)


def scales(*curves, masks=None, time=0, **options):
    """The time scales of samples whose distances are these curves."""
    moved = np.array(curves, float)[..., np.newaxis]
    one, other = pair(np.zeros(moved.shape), moved, masks, masks, **options)
    return measure_time_scales(measure_distances(one, other), time=time)


STEPS = np.arange(20)


@pytest.mark.parametrize(
    ("curve", "scale", "peak"),
    [
        (0.5**STEPS, 2, 0),
        (0.9**STEPS, 10, 0),  # 0.9 to the power of 10 is the first below 1/e
        ((STEPS + 1) * 0.5**STEPS, 4, 0),
        ([0, 1, 4, 2, 1, 9, 0], 6, 5),  # the highest peak counts
        ([1, 1.0, 0.9], np.inf, 0),
        ([0, 0, 0], np.nan, np.nan),
        ([1, np.nan, 0], np.nan, np.nan),
        ([1, np.inf, 0], np.nan, np.nan),
    ],
)
def test_time_scales_by_hand(curve, scale, peak):
    found = scales(curve)
    np.testing.assert_equal(found["time_scale"].item(), scale)
    np.testing.assert_equal(found["peak"].item(), peak)
    if np.isfinite(peak):
        np.testing.assert_allclose(found["fading"][0], np.array(curve) / np.max(curve))


def test_steps_are_real_ones_since_the_change_as_the_layer_takes_them():
    curve = [7, 7, *0.5 ** np.arange(4)]
    assert scales(curve, time=2)["time_scale"].item() == 2
    assert scales(curve[::-1], time=3, go_backwards=1)["time_scale"].item() == 2
    assert scales(curve[::-1], time=-3, go_backwards=1)["time_scale"].item() == 2
    # Two masked steps on the way; a sample that ends early; one in which nothing was changed.
    masks = [[1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 1]]
    found = scales([8, 4, 4, 4, 2, 1], [4, 2, 2, 2, 2, 2], [0, 0, 9, 9, 9, 9], masks=masks)
    np.testing.assert_allclose(found["fading"][0], [1, 3 / 6, 2 / 6, 1 / 6])
    assert found["time_scale"].item() == 2
    assert np.isnan(scales([1, 1], masks=[[0, 1]])["time_scale"].item())


def test_steps_that_are_not_there_are_refused():
    for time in (3, -4, 1.0):
        with pytest.raises(ValueError, match=f"time is {time}; it must be one of the 3 steps"):
            scales([1, 2, 3], time=time)
    distances = measure_distances(*pair(np.zeros((1, 4, 1)), np.ones((1, 4, 1))))
    cut = distances.assign_coords(time=np.arange(4)).isel(time=[0, 2, 3])
    with pytest.raises(ValueError, match="holds selected steps"):
        measure_time_scales(cut, time=0)
    with pytest.raises(ValueError, match="time is 0; distances holds the steps 2 to 3"):
        measure_time_scales(cut.isel(time=[1, 2]), time=0)


def test_a_step_is_that_of_the_input_where_steps_were_selected():
    one, other = pair(np.zeros((1, 6, 1)), np.array([[[0], [0], [9], [1], [9], [1]]], float))
    distances = measure_distances(one, other)
    late = distances.assign_coords(time=np.arange(6)).isel(time=slice(2, None))
    for time in (3, -3):
        xr.testing.assert_identical(
            measure_time_scales(late, time=time), measure_time_scales(distances, time=time)
        )


def test_layers_that_name_none_are_refused():
    one = tree(a=node(hidden=np.ones((1, 2, 1))))
    for layers, says in (([], r"layers is \[\]; it must name some of \['a'\]"), (3, "layer is 3")):
        with pytest.raises(ValueError, match=says):
            measure_distances(one, one, layers=layers)
    with pytest.raises(ValueError, match=r"layer is \['a'\]; the traces hold"):
        measure_distances(one, one, layers=[["a"]])
