"""Gradients by lag: known answers, and what the rule of claim 12 makes of other layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import xarray as xr

from experiments.memory import slopes
from experiments.memory.variants import VARIANTS, build_variants
from lstm_states.acceleration import accelerate
from tests.experiments.memory.made import FEATURES, STEPS, UNITS, X, gate, lstm
from tests.experiments.shared.judge import judge

CONSTANT = np.ones_like(X) / 2


def by_hand(last_hidden, x):
    """The mean norm of Keras's and TensorFlow's own Jacobian, latest step first."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        hidden = last_hidden(x)
    jacobian = tape.batch_jacobian(hidden, x, experimental_use_pfor=False)
    return np.sqrt((np.asarray(jacobian) ** 2).sum(axis=(1, 3))).mean(axis=0)[::-1]


@pytest.mark.parametrize("kind", [keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN])
def test_the_jacobian_is_that_of_tensorflow(kind):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, FEATURES)), kind(3), keras.layers.Dense(1)])
    found = slopes.measure_slopes({"one": model}, X[:, :6])
    assert list(found["part"].values) == ["layer 1"]
    np.testing.assert_allclose(found["slope"][0, 0], by_hand(model.layers[0], X[:, :6]), rtol=1e-4)


def test_a_stack_has_a_slope_by_layer_and_one_through_all():
    keras.utils.set_random_seed(0)
    lower, upper = keras.layers.LSTM(4, return_sequences=True), keras.layers.LSTM(3)
    x = X[:, :6]
    model = keras.Sequential([keras.Input(x.shape[1:]), lower, upper])
    found = slopes.measure_slopes({"one": model}, x)["slope"].isel(model=0)
    assert list(found["part"].values) == ["layer 1", "layer 2", "stack"]
    of_lower = by_hand(lambda given: lower(given)[:, -1], x)
    np.testing.assert_allclose(found.sel(part="layer 1"), of_lower, rtol=1e-4)
    np.testing.assert_allclose(found.sel(part="layer 2"), by_hand(upper, lower(x)), rtol=1e-4)
    np.testing.assert_allclose(found.sel(part="stack"), by_hand(model, x), rtol=1e-4)


def test_the_fused_kernel_gives_the_same():
    stock, fast = lstm(), lstm()
    accelerate(fast)
    found = slopes.measure_slopes({"stock": stock, "fast": fast}, X)["slope"]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3)


@pytest.mark.parametrize("bias", [0.0, 1.0, 5.0])
def test_a_constant_gate_is_all_that_wears_a_gradient_down(bias):
    """With equal inputs and no recurrent weights each step back costs a factor f, no more.

    The last input moves h through the output gate as well, so the steps before it are compared.
    """
    model = lstm(forget=bias, recurrent=False)
    found = slopes.measure_slopes({"constant": model}, CONSTANT)["slope"][0, 0]
    np.testing.assert_allclose(found[1:] / found[1], gate(bias) ** np.arange(STEPS - 1), rtol=1e-3)


def test_what_is_kept_is_the_first_step_over_the_last():
    found = xr.Dataset(
        {"slope": (("variant", "model", "lag"), [[[4.0, 2.0, 1.0], [2.0, 1.0, 0.1]]])},
        {"variant": ["chrono"], "model": ["seed 0", "seed 1"], "lag": [0, 1, 2]},
    )
    kept = slopes.as_kept_by_variant(found, {"chrono": "chrono"}, "trained")["slope_kept_chrono"]
    np.testing.assert_allclose(kept, [0.25, 0.05])
    assert kept.attrs["units"] == "1"
    assert "2 steps back" in kept.attrs["long_name"]
    assert VARIANTS["chrono"] in kept.attrs["long_name"]


def kept(make):
    """The evidence of claim 12 where all three layers are made in the same way."""
    measured = slopes.measure_variants({"forget_bias_1": {"seed 0": make()}}, CONSTANT)
    return xr.merge(
        slopes.as_kept_by_variant(measured, {"forget_bias_1": ending}, "")
        for ending in ("default", "chrono", "trained")
    )


def test_a_layer_that_adds_up_flips_claim_12():
    """f = 1 and i = 1: c is the sum of what is written, as the LSTM was first meant to be."""
    assert judge(12, kept(lambda: lstm(forget=30, write=30, recurrent=False)))[0] == "supported"
    assert judge(12, kept(lambda: lstm(forget=-2)))[0] == "refuted"


def test_the_start_of_the_gates_decides_claim_12():
    """Over 100 steps the default layer loses what chrono initialisation keeps."""
    x = np.random.default_rng(6).random((2, 100, FEATURES)).astype("float32")
    models = build_variants(100, FEATURES, units=UNITS, seeds=[0, 1])
    wanted = {name: models[name] for name in ("forget_bias_1", "chrono")}
    found = slopes.measure_variants(wanted, x)
    at_start = {"forget_bias_1": "default", "chrono": "chrono"}
    stand_in = slopes.as_kept_by_variant(found, {"forget_bias_1": "trained"}, "")
    evidence = slopes.as_kept_by_variant(found, at_start, "").merge(stand_in)
    assert judge(12, evidence) == ("depends", ["fails", "holds", "fails"])
