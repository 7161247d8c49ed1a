"""What notebooks say under "Two things to try" is so: each test makes the change that is named."""

from functools import partial

import keras
import numpy as np
import pytest
import xarray as xr

from experiments.cost import training as cost_training
from experiments.cost import wrapping
from experiments.data.schema import PARTS
from experiments.depth import adding
from experiments.forecasting.training import predict_test, training_data
from experiments.masking import encodings, missing
from experiments.memory import recall, variants
from experiments.shared import models
from tests.conftest import shake


def windows(samples, steps, features, rng):
    """Windows of noise, half of them for training and a quarter for each of the other parts."""
    x = rng.normal(size=(samples, steps, features)).astype(np.float32)
    part = np.repeat(range(len(PARTS)), [samples // 2, samples // 4, samples // 4])
    return xr.Dataset(
        {"x": (("sample", "time", "feature"), x), "y": ("sample", x[:, -1, 0]),
         "part": ("sample", part)}
    )  # fmt: skip


# 01_stacked


def test_stacked_units():
    def weights_of_layer_2(**units):
        return models.build_stacked(100, 8, **units).layers[1].count_params()

    assert weights_of_layer_2() == 12_416
    assert weights_of_layer_2(units=[64, 64]) == 33_024 == 4 * 64 * (64 + 64 + 1)


def test_stacked_train_stride(rng):
    samples = windows(32, 3, 1, rng)
    every, fourth = (training_data(samples, train_stride=stride) for stride in (1, 4))
    assert len(every["x"]) == 4 * len(fourth["x"])
    assert len(every["validation_data"][0]) == len(fourth["validation_data"][0])


# 02_intermediate_outputs


def test_intermediate_outputs_window():
    whole, half = (models.build_intermediate_outputs(steps, 8) for steps in (100, 50))
    assert whole.count_params() == half.count_params()
    assert half.output_shape == (None, 50, 1)


def test_intermediate_outputs_last_row(rng):
    samples = windows(8, 5, 2, rng)
    stack = shake(models.build_intermediate_outputs(5, 2, units=[4, 3]), rng)
    before = predict_test([stack], samples)
    samples["x"][:, -1] = 0
    after = predict_test([stack], samples)
    np.testing.assert_array_equal(after[..., :-1], before[..., :-1])
    assert (after[..., -1] != before[..., -1]).all()


# 03_variable_length


@pytest.fixture
def padded(rng):
    """Sequences of 4 steps, padded with 0 to 6, and how to build a stack with given weights."""
    samples = windows(8, 4, 2, rng).pad(time=(0, 2), constant_values=0)
    first = shake(models.build_variable_length(2, units=[4, 3]), rng)

    def build(mask_value):
        stack = models.build_variable_length(2, units=[4, 3], mask_value=mask_value)
        stack.set_weights(first.get_weights())
        return stack

    return samples, build


def test_variable_length_mask_value(padded):
    samples, build = padded
    before = predict_test([build(0.0)], samples)
    samples["x"][:, 4:] = -1
    np.testing.assert_array_equal(predict_test([build(-1.0)], samples), before)
    assert (predict_test([build(0.0)], samples) != before).all()  # the mask has to know of it


def test_variable_length_padding(padded):
    samples, build = padded
    stack = build(0.0)
    before = predict_test([stack], samples)
    samples = samples.pad(time=(0, 10), constant_values=0.0)
    assert samples.sizes["time"] == 16
    np.testing.assert_array_equal(predict_test([stack], samples), before)


# 04_memory


def test_memory_forget_biases():
    model = variants.build_variant("forget_bias_1", 8, 1, units=2)
    cell = model.layers[0].cell
    for weights, value in ((cell.kernel, 0), (cell.recurrent_kernel, 0), (cell.bias, 1)):
        weights.assign(np.full(weights.shape, value))  # the forget bias alone decides the gate
    sweep = recall.sweep_forget_bias({"seed 0": model}, np.zeros((1, 8, 1), np.float32), [7.0])
    assert 1 / (1 + np.exp(-7)) == pytest.approx(0.9991, abs=5e-5)
    assert sweep["predicted"].item() == pytest.approx(760, abs=0.5)
    assert sweep["half_life"].item() == 8 / 2


def test_memory_steps():
    keras.utils.set_random_seed(0)
    for steps, bias, kept in ((100, 4.60, 0.990), (200, 5.29, 0.995)):
        forget = np.asarray(variants.chrono(steps)((4 * 20_000,)))[20_000:40_000]
        assert forget.max() == pytest.approx(bias, abs=0.01)
        assert 1 / (1 + np.exp(-forget.max())) == pytest.approx(kept, abs=5e-4)


# 05_depth


def test_depth_width():
    assert adding.count_weights([16] * 2, 2) == 3_345
    weights = adding.count_weights([32] * 2, 2)
    assert weights == 12_833
    for depth in (1, 3):
        other = adding.count_weights(adding.equal_widths(depth, weights, 2), 2)
        assert other == pytest.approx(weights, rel=0.03)


def test_depth_every(rng):
    stack = shake(models.build_stacked(adding.STEPS, 2, units=[3, 3]), rng)
    tasks = {0: windows(8, adding.STEPS, 2, rng)}
    ratio = {
        every: adding.measure_cut({0: stack}, tasks, every=every)["error_cut_over_whole"].item()
        for every in (2, 30)
    }
    assert ratio[30] == pytest.approx(1, rel=1e-5)
    assert ratio[2] != pytest.approx(1, rel=1e-3)


# 07_masking


def test_masking_gap():
    there = missing.observed_steps((2_000, 20, 1), missing=0.3, gap=1)[..., 0]
    assert there.mean() == pytest.approx(0.7, abs=0.01)
    assert (there[:, 1:] | there[:, :-1]).all()


def test_masking_sentinel(rng, monkeypatch):
    x = rng.normal(size=(4, 5, 2)).astype(np.float32)
    encode = partial(encodings.encode, x, rng.random(x.shape) > 0.3, encodings.FOR_NUMBERS)
    before = encode()
    monkeypatch.setattr(encodings, "SENTINEL", 0.0)
    after = encode()
    np.testing.assert_array_equal(after["sentinel"], after["0"])
    assert (before["sentinel"] != before["0"]).any()


# 08_cost


def test_cost_piece(monkeypatch):
    monkeypatch.setattr(
        cost_training, "measure_growth", lambda prepare, ways: dict.fromkeys(ways, 1.0)
    )
    monkeypatch.setattr(cost_training, "_apart", lambda *sizes: 0.0)

    def times_as_many(piece):
        found = cost_training.measure_training([1000], piece=piece, batch_size=1, processes=1)
        whole, pieces = found["counted"].values[0]
        return whole / pieces

    assert times_as_many(100) == pytest.approx(10)
    assert times_as_many(500) == pytest.approx(2)


def test_cost_wrapping(monkeypatch):
    taken = xr.DataArray(np.ones((2, 1)), {"way": ["wrapped", "bare"]}, ("way", "round"))
    monkeypatch.setattr(wrapping, "time_in_turns", lambda ways, rounds: taken)
    once, twice = (
        wrapping.measure_wrapping(steps, batch_size=1, rounds=1)["counted"].sel(case="prediction")
        for steps in (3, 2 * 3)
    )
    assert twice.sel(way="bare") == once.sel(way="bare")
    assert twice.sel(way="wrapped") > once.sel(way="wrapped")
