import numpy as np
import pytest
import xarray as xr

from experiments.data.schema import DataError, check_finite, check_increasing, check_processed

TEXTS = {"title": "Rows", "description": "", "source": "none"}


def series():
    return xr.Dataset(
        {
            "features": (("time", "feature"), np.ones((3, 2))),
            "targets": (("time", "target"), np.ones((3, 1))),
            "part": ("time", [0, 1, 2]),
        },
        coords={
            "time": [10, 20, 30],
            "feature": ["a", "b"],
            "target": ["y"],
            "target_unit": ("target", ["m"]),
        },
        attrs={"layout": "series", "horizon": 0, **TEXTS},
    )


def series_with_persistence():
    data = series().assign_coords(drifts=("feature", [True, False]))
    data["persistence"] = data["targets"] + 1
    return data


def sequences():
    return xr.Dataset(
        {
            "features": (("sample", "time", "feature"), np.ones((2, 4, 1))),
            "targets": (("sample", "target"), np.ones((2, 1))),
            "length": ("sample", [4, 2]),
            "part": ("sample", [0, -1]),
        },
        coords={"feature": ["a"], "target": ["y"], "target_unit": ("target", ["m"])},
        attrs={"layout": "sequences", **TEXTS},
    )


def targets_per_step():
    data = sequences()
    data["targets"] = ("sample", "time", "target"), np.ones((2, 4, 1))
    return data


@pytest.mark.parametrize("make", [series, series_with_persistence, sequences, targets_per_step])
def test_both_layouts_pass_unchanged(make):
    assert check_processed(make()).identical(make())


@pytest.mark.parametrize(
    ("make", "breakage", "message"),
    [
        (series, lambda d: d.attrs.clear(), "'layout'.* is .*None.*; it must be 'series' or"),
        (series, lambda d: d.attrs.update(layout="grid"), "is 'grid'"),
        (series, lambda d: d.__delitem__("part"), "'part' is missing; .*'features', 'targets'"),
        (series, lambda d: d.update({"features": d["features"].T}), "features has dims"),
        (series, lambda d: d.update({"targets": d["targets"][0]}), "targets has dims"),
        (series, lambda d: d["features"].__setitem__((1, 1), np.nan), "features is nan at time 1"),
        (series, lambda d: d["targets"].__setitem__((2, 0), -np.inf), "targets is -inf at time 2"),
        (series, lambda d: d["part"].__setitem__(0, 3), "part holds 1 to 3; allowed are -1 to 2"),
        (series, lambda d: d["part"].__setitem__(0, -2), "part holds -2 to 2"),
        (series, lambda d: d.attrs.pop("horizon"), r"attrs\['horizon'\] is None; .* look ahead"),
        (series, lambda d: d.attrs.update(horizon=-1), "is -1; it must be the number of rows"),
        (series, lambda d: d.attrs.update(horizon=1.5), "is 1.5; it must be the number of rows"),
        (series, lambda d: d.attrs.pop("title"), r"attrs\['title'\] is None; it must be a text"),
        (sequences, lambda d: d.attrs.pop("description"), "'description'.* is None"),
        (sequences, lambda d: d.attrs.update(source=3), "'source'.* is 3"),
        (series, lambda d: d.__delitem__("target_unit"), "'target_unit' is missing"),
        (sequences, lambda d: d.__delitem__("target"), "'target' is missing"),
        (sequences, lambda d: d.__delitem__("feature"), "'feature' is missing"),
        (series, lambda d: d.update({"part": ("feature", [0, 1])}), "part has dims"),
        (series, lambda d: d.update({"part": d["part"] * 0.5}), "part has dtype float64; .* integ"),
        (series, lambda d: d.update({"feature": ["a", "a"]}), "feature 'a' appears twice"),
        (series, lambda d: d.update({"features": d["features"].astype(str)}), "has dtype <U"),
        (series_with_persistence, lambda d: d.__delitem__("drifts"), "'drifts' is missing"),
        (
            series_with_persistence,
            lambda d: d.update({"persistence": d["part"]}),
            "persistence has",
        ),
        (
            series_with_persistence,
            lambda d: d["persistence"].__setitem__((0, 0), np.nan),
            "persistence is nan at time 0",
        ),
        (sequences, lambda d: d.__delitem__("length"), "'length' is missing"),
        (sequences, lambda d: d["length"].__setitem__(1, 0), "sequence 1 has length 0; .* 1 to 4"),
        (sequences, lambda d: d["length"].__setitem__(0, 5), "sequence 0 has length 5"),
    ],
)
def test_what_breaks_a_layout_is_named(make, breakage, message):
    data = make()
    breakage(data)
    with pytest.raises(DataError, match=message):
        check_processed(data)


def test_data_without_features_are_refused():
    with pytest.raises(DataError, match="dimension 'feature' is empty"):
        check_processed(series().isel(feature=[]))


def test_empty_data_are_refused():
    with pytest.raises(DataError, match="dimension 'time' is empty"):
        check_processed(series().isel(time=[]))


def test_processed_series_need_increasing_times():
    with pytest.raises(DataError, match="time at row 2"):
        check_processed(series().assign_coords(time=[1, 2, 2]))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1, 2, 2, 1], r"row 2 \(2\) repeats row 1 \(2\)"),
        ([1.5, 3.0, 2.0], r"row 2 \(2.0\) goes back behind row 1 \(3.0\)"),
        (np.array(["2020-01-02", "2020-01-01"], "M8[D]"), r"row 1 \(2020-01-01\) goes back"),
    ],
)
def test_the_first_bad_time_is_named(times, message):
    with pytest.raises(DataError, match=message):
        check_increasing(np.asarray(times))


@pytest.mark.parametrize("times", [[], [7], [-1, 0, 5]])
def test_increasing_times_pass(times):
    check_increasing(np.array(times))


def test_a_value_that_is_not_finite_is_named_by_its_labels():
    values = xr.DataArray(
        [[0.0, 1.0], [2.0, np.inf]],
        dims=("time", "feature"),
        coords={"feature": ["bid", "ask"]},
        name="features",
    )
    with pytest.raises(DataError, match="features is inf at time 1, feature ask"):
        check_finite(values)
