import keras
import numpy as np
import pytest
import yaml

from experiments.memory import variants
from notebook_pipeline import read_parameters
from notebook_pipeline.errors import ConfigError
from tests.repository import ROOT

UNITS, STEPS = 8, 40
PARAMETERS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["memory"]


def built(variant, seed=0):
    keras.utils.set_random_seed(seed)
    return variants.build_variant(variant, STEPS, 2, units=UNITS)


def biases(variant, seed=0):
    """The biases of the input, forget, candidate and output gate."""
    return np.asarray(built(variant, seed).layers[0].cell.bias).reshape(4, UNITS)


@pytest.mark.parametrize(("variant", "forget"), [("forget_bias_0", 0), ("forget_bias_1", 1)])
def test_the_forget_bias_is_what_the_name_says(variant, forget):
    expected = np.zeros((4, UNITS))
    expected[1] = forget
    np.testing.assert_array_equal(biases(variant), expected)


def test_chrono_initialisation_spreads_the_units_over_time():
    write, forget, candidate, output = biases("chrono")
    np.testing.assert_array_equal(write, -forget)
    assert (candidate == 0).all()
    assert (output == 0).all()
    many = np.concatenate([biases("chrono", seed)[1] for seed in range(20)])
    spread = np.exp(many)
    assert spread.min() >= 1
    assert spread.max() <= STEPS - 1
    assert spread.mean() == pytest.approx(STEPS / 2, rel=0.15)  # uniform between 1 and 39
    assert not np.array_equal(biases("chrono", 0), biases("chrono", 1))


@pytest.mark.parametrize(("variant", "kind"), [("gru", "GRU"), ("simple_rnn", "SimpleRNN")])
def test_the_others_are_layers_of_their_own(variant, kind):
    model = built(variant)
    assert type(model.layers[0]).__name__ == kind
    assert model.output_shape == (None, 1)


def test_a_seed_decides_all_weights():
    by_seed = variants.build_variants(STEPS, 2, units=UNITS, seeds=[0, 1])
    assert list(by_seed) == list(variants.VARIANTS)
    for models in by_seed.values():
        first, second = (models[name].get_weights() for name in ("seed 0", "seed 1"))
        assert not np.array_equal(first[0], second[0])
    again = variants.build_variants(STEPS, 2, units=UNITS, seeds=[1])["chrono"]["seed 1"]
    for ours, theirs in zip(again.weights, by_seed["chrono"]["seed 1"].weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_setting_a_forget_bias_leaves_all_else():
    model = built("chrono")
    layer = model.layers[0]
    before = [w.copy() for w in layer.get_weights()]
    variants.set_forget_bias(layer, 3.0)
    kernel, recurrent, bias = layer.get_weights()
    np.testing.assert_array_equal(kernel, before[0])
    np.testing.assert_array_equal(recurrent, before[1])
    before[2][UNITS : 2 * UNITS] = 3
    np.testing.assert_array_equal(bias, before[2])


def test_what_can_not_be_built_is_named():
    with pytest.raises(
        ValueError, match=r"variant is 'lstm'; allowed are forget_bias_0, forget_bias"
    ):
        variants.build_variant("lstm", STEPS, 2, units=UNITS)
    with pytest.raises(ValueError, match="longest is 2; chrono initialisation needs 3 steps"):
        variants.chrono(2)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lengths", [20, 100], r"lengths is \[20, 100\]; each must be below steps, which is 100"),
        ("lengths", [20, 20], r"lengths is \[20, 20\]: each value may appear only once"),
        (
            "forget_biases",
            [1.0, 1.0],
            r"forget_biases is \[1.0, 1.0\]: each value may appear only once",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_named(name, value, message):
    with pytest.raises(ConfigError, match=message):
        read_parameters("memory", {**PARAMETERS, name: value})
