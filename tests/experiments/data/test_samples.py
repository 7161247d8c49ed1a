import numpy as np
import pytest
import xarray as xr

from experiments.data.samples import load_sequences, load_windows
from experiments.data.schema import DataError


def text(*values):
    return np.array(values, dtype=object)


def write(path, data):
    data.to_zarr(path, mode="w", consolidated=False)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.zarr"


@pytest.fixture
def series():
    """Twenty rows: 10 to train, 5 to validate, 5 to test; y at a row is known one row later."""
    row = np.arange(20.0, dtype=np.float32)
    zigzag = np.tile([0.0, 2.0], 10)  # mean 1 and deviation 1
    steady = np.where(row < 10, 7.0, np.where(row < 15, 8.0, 100.0))  # no deviation in training
    part = np.repeat([0, 1, 2], [10, 5, 5])
    return xr.Dataset(
        {
            "features": (("time", "feature"), np.stack([zigzag, steady], axis=1)),
            "targets": (("time", "target"), np.stack([row, -row], axis=1)),
            "persistence": (("time", "target"), np.stack([row - 1, 1 - row], axis=1)),
            "part": ("time", part),
        },
        coords={
            "time": 100 + row,
            "feature": text("zigzag", "steady"),
            "drifts": ("feature", [True, False]),
            "target": text("y", "minus"),
            "target_unit": ("target", text("m", "-m")),
        },
        attrs={
            "layout": "series",
            "horizon": 1,
            "title": "Rows",
            "source": "none",
            "description": "",
        },
    )


@pytest.fixture
def sequences():
    """Sequences 0 to 5 of one feature; sequence n has n + 1 real steps, the rest must not count."""
    length = np.arange(1, 7)
    values = np.tile([1.0, 3.0], (6, 3))  # over the real steps of 1 and 3: mean 2, deviation 1
    values[np.arange(6) >= length[:, None]] = 1e6
    return xr.Dataset(
        {
            "features": (("sample", "time", "feature"), values[..., None]),
            "targets": (("sample", "target"), length[:, None] * 10.0),
            "length": ("sample", length),
            "part": ("sample", [2, 0, 1, 0, 2, 1]),
        },
        coords={
            "feature": text("a"),
            "target": text("y"),
            "target_unit": ("target", text("m")),
        },
        attrs={"layout": "sequences", "title": "Sequences", "source": "none", "description": ""},
    )


# Windows


def test_windows_by_hand(path, series):
    samples = load_windows(write(path, series), target="y", window=3)
    # Row 9 looks ahead at row 10, which is of the next part; the last rows have no next part.
    ends = [2, 3, 4, 5, 6, 7, 8, 12, 13, 17, 18, 19]
    np.testing.assert_array_equal(samples["y"], ends)
    np.testing.assert_array_equal(samples["persistence"], np.subtract(ends, 1))
    np.testing.assert_array_equal(samples["end"], np.add(ends, 100))
    np.testing.assert_array_equal(samples["part"], [0] * 7 + [1] * 2 + [2] * 3)
    assert samples["x"].dims == ("sample", "time", "feature")
    assert samples["x"].dtype == samples["y"].dtype == np.float32
    x = samples["x"].values
    np.testing.assert_array_equal(x[0, :, 0], [-1, 1, -1])
    np.testing.assert_array_equal(x[1, :, 0], [1, -1, 1])
    # A constant is left unscaled, and what goes too far is cut off at 5 deviations.
    np.testing.assert_array_equal(x[[0, 7, 9], :, 1], [[0] * 3, [1] * 3, [5] * 3])
    assert samples.attrs == {
        "title": "Rows", "description": "", "source": "none", "target": "y", "target_unit": "m",
        "target_mean": 0.0, "target_std": 1.0, "horizon": 1,
    }  # fmt: skip


def test_every_step_can_have_its_target(path, series):
    samples = load_windows(write(path, series), target="minus", window=3, per_step=True)
    assert samples["y"].dims == ("sample", "time")
    np.testing.assert_array_equal(samples["y"][0], [0, -1, -2])
    np.testing.assert_array_equal(samples["y"][-1], [-17, -18, -19])
    np.testing.assert_array_equal(samples["persistence"][0], [1, 0, -1])


def test_the_target_is_scaled_by_the_training_part(path, series):
    samples = load_windows(write(path, series), target="y", window=3, scale_target=True)
    assert samples.attrs["target_mean"] == 4.5
    assert samples.attrs["target_std"] == pytest.approx(np.sqrt(8.25))
    np.testing.assert_allclose(samples["y"][0], (2 - 4.5) / np.sqrt(8.25), rtol=1e-6)
    np.testing.assert_allclose(samples["persistence"][-1], (18 - 4.5) / np.sqrt(8.25), rtol=1e-6)


@pytest.mark.parametrize("horizon", [0, 1, 4])
@pytest.mark.parametrize("window", [2, 5])
def test_an_embargo_keeps_the_parts_apart(path, horizon, window):
    part = np.repeat([0, 1, 2], 12)
    row = np.arange(36.0)
    data = xr.Dataset(
        {
            "features": (("time", "feature"), row[:, None]),
            "targets": (("time", "target"), row[:, None]),
            "part": ("time", part),
        },
        coords={
            "time": row,
            "feature": text("a"),
            "target": text("y"),
            "target_unit": ("target", text("m")),
        },
        attrs={
            "layout": "series",
            "horizon": horizon,
            "title": "",
            "source": "",
            "description": "",
        },
    )
    samples = load_windows(write(path, data), target="y", window=window)
    ends = samples["end"].values.astype(int)
    for end, own in zip(ends, samples["part"].values, strict=True):
        assert (part[end - window + 1 : end + horizon + 1] == own).all()
    gaps = np.diff(ends)[np.diff(samples["part"]) != 0]
    np.testing.assert_array_equal(gaps, [window + horizon] * 2)


def test_later_rows_have_no_say_in_scaling(path, series):
    options = {"target": "y", "window": 3, "scale_target": True, "center": True}
    before = load_windows(write(path, series), **options)
    for name in ("features", "targets", "persistence"):
        series[name][10:] = series[name][10:] * 3 + 50
    after = load_windows(write(path, series), **options)
    train = before["part"].values == 0
    assert before.isel(sample=train).identical(after.isel(sample=train))
    assert not before["x"].equals(after["x"])


def test_centering_takes_each_windows_mean_off_what_drifts(path, series):
    plain = load_windows(write(path, series), target="y", window=3, scale_target=True)
    centered = load_windows(path, target="y", window=3, scale_target=True, center=True)
    third = np.float32(1 / 3)
    np.testing.assert_allclose(centered["x"][0, :, 0], [-2 * third, 4 * third, -2 * third])
    np.testing.assert_allclose(centered["window_means"][:2], [[-third, 0], [third, 0]])
    np.testing.assert_array_equal(centered["x"][..., 1], plain["x"][..., 1])
    np.testing.assert_array_equal(centered["y"], plain["y"])
    # Persistence over rows 0 to 2 is -1, 0, 1.
    np.testing.assert_allclose(centered["level"][0], (0 - 4.5) / np.sqrt(8.25), rtol=1e-6)


def test_centering_sees_nothing_after_the_window(path, series):
    options = {"target": "y", "window": 3, "center": True}
    before = load_windows(write(path, series), **options)
    for name in ("features", "targets", "persistence"):
        series[name][18:] = -4
    after = load_windows(write(path, series), **options)
    known = before["end"].values < 118
    assert known.sum() == 10
    assert before.isel(sample=known).identical(after.isel(sample=known))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"target": "z"}, r"target 'z' is not in mine.zarr; there are \['y', 'minus'\]"),
        ({}, {"window": 21}, "window is 21, but mine.zarr has 20 rows"),
        ({}, {"window": 5}, "the validation part holds no sample; change the fractions or"),
        ({}, {"center": True, "per_step": True}, "center is not possible: .* y is per step"),
        ({"persistence": None}, {"center": True}, "mine.zarr has no persistence"),
    ],
)
def test_impossible_windows_are_refused(path, series, change, options, message):
    write(path, series.drop_vars(change))
    with pytest.raises(DataError, match=message):
        load_windows(path, **{"target": "y", "window": 3} | options)


@pytest.mark.parametrize("load", [lambda p: load_windows(p, target="y", window=3),
                                  lambda p: load_sequences(p, target="y")])  # fmt: skip
def test_missing_data_name_the_stage_that_makes_them(path, load):
    with pytest.raises(DataError, match=r"mine.zarr is missing; `dvc repro prepare@mine` makes it"):
        load(path)


def test_the_other_layout_is_refused(path, series, sequences):
    with pytest.raises(DataError, match=r"mine.zarr holds series, .* a data set of sequences"):
        load_sequences(write(path, series), target="y")
    with pytest.raises(DataError, match=r"mine.zarr holds sequences, .* a data set of series"):
        load_windows(write(path, sequences), target="y", window=2)


# Sequences


@pytest.mark.parametrize("mask_value", [0.0, -9.0])
def test_sequences_by_hand(path, sequences, mask_value):
    samples = load_sequences(write(path, sequences), target="y", mask_value=mask_value)
    # Real steps of the training part, sequences 1 and 3: mean 2, deviation 1. The padding is out.
    x = samples["x"].values[..., 0]
    for sample, length in enumerate(samples["length"].values):
        np.testing.assert_array_equal(x[sample, :length], np.tile([-1.0, 1.0], 3)[:length])
        np.testing.assert_array_equal(x[sample, length:], mask_value)
    np.testing.assert_array_equal(samples["y"], [10, 20, 30, 40, 50, 60])
    np.testing.assert_array_equal(samples["part"], [2, 0, 1, 0, 2, 1])


def test_a_sequences_target_is_scaled_by_the_training_part(path, sequences):
    samples = load_sequences(write(path, sequences), target="y", scale_target=True)
    np.testing.assert_array_equal(samples["y"], [-2, -1, 0, 1, 2, 3])
    assert (samples.attrs["target_mean"], samples.attrs["target_std"]) == (30, 10)


def test_other_sequences_have_no_say_in_scaling(path, sequences):
    before = load_sequences(write(path, sequences), target="y", scale_target=True)
    sequences["features"][[0, 2, 4, 5]] += 20
    sequences["targets"][[0, 2, 4, 5]] += 20
    after = load_sequences(write(path, sequences), target="y", scale_target=True)
    assert before.isel(sample=[1, 3]).identical(after.isel(sample=[1, 3]))


def test_a_real_step_that_the_mask_would_drop_is_refused(path, sequences):
    with pytest.raises(DataError, match=r"step 1 of sequence 1 equals mask_value 1.0 .* Choose"):
        load_sequences(write(path, sequences), target="y", mask_value=1.0)


def test_a_target_for_each_step_of_a_sequence_is_refused(path, sequences):
    sequences["targets"] = sequences["targets"].expand_dims(time=6, axis=1)
    with pytest.raises(DataError, match=r"mine.zarr has a target for each step, not one for each"):
        load_sequences(write(path, sequences), target="y")


def test_a_part_without_sequences_is_refused(path, sequences):
    sequences["part"][:] = [0, 0, 0, 2, 2, 2]
    with pytest.raises(DataError, match="the validation part holds no sample"):
        load_sequences(write(path, sequences), target="y")
