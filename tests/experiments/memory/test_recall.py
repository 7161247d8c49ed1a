"""The half-life of c: known answers, and what the rule of claim 11 makes of other gates."""

import keras
import numpy as np
import pytest
import xarray as xr

from experiments.memory import recall
from tests.experiments.memory.made import STEPS, UNITS, X, gate, lstm
from tests.experiments.shared.judge import judge


@pytest.mark.parametrize("bias", [-2.0, 0.0, 1.0, 2.0])
def test_a_constant_gate_has_the_half_life_that_it_predicts(bias):
    found = recall.measure_recall({"constant": lstm(forget=bias, recurrent=False)}, X)
    expected = -np.log(2) / np.log(gate(bias))
    np.testing.assert_allclose(found["half_life"], [[expected]], rtol=1e-4)
    np.testing.assert_allclose(found["predicted"], [[expected]], rtol=1e-4)
    steps = np.arange(STEPS // 2 + 1)
    np.testing.assert_allclose(found["change"][0, 0], gate(bias) ** steps, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ([1.0, 0.5, 0.1], 1.0),
        ([1.0, 0.8, 0.4], 1 + np.log(0.8 / 0.5) / np.log(0.8 / 0.4)),
        ([1.0, 0.4, 0.9], np.log(2) / np.log(2.5)),  # the first time counts
        ([1.0, 0.9, 0.8, 0.7], 3.0),  # never: as long as there are steps
        ([1.0, 1.5, 2.0], 2.0),
    ],
)
def test_half_life_is_read_between_the_steps(change, expected):
    assert recall.half_life(np.array(change)) == pytest.approx(expected)


def test_what_is_gone_at_once_has_next_to_no_half_life():
    assert 0 < recall.half_life(np.array([1.0, 0.0, 0.0])) < 0.01


def test_h_follows_the_change():
    """With recurrent weights the gates answer to it: more than c itself then changes."""
    model = lstm(forget=1.0)
    layer = model.layers[0]
    kernel, carried, bias = layer.get_weights()
    layer.set_weights([kernel, 4 * carried, bias])
    alone = recall.measure_recall({"alone": lstm(forget=1.0, recurrent=False)}, X)
    together = recall.measure_recall({"together": model}, X)
    assert abs(together["change"] - alone["change"].values).max() > 0.1


def test_each_layer_of_a_stack_is_changed_by_itself():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.LSTM(3, return_sequences=True), keras.layers.LSTM(UNITS)]
    stack = keras.Sequential([keras.Input(X.shape[1:]), *layers])
    whole = recall.measure_recall({"stack": stack}, X)
    upper = keras.Sequential([keras.Input((STEPS, 3)), layers[1]])
    alone = recall.measure_recall({"upper": upper}, np.asarray(layers[0](X)))
    np.testing.assert_allclose(whole["change"].sel(layer=2), alone["change"][:, 0], atol=1e-5)
    evidence = recall.as_half_lives(whole, "stack", "a stack")
    assert list(evidence) == [
        "recall_half_life_stack_layer_1", "predicted_half_life_stack_layer_1",
        "recall_half_life_stack_layer_2", "predicted_half_life_stack_layer_2",
    ]  # fmt: skip
    assert float(evidence["recall_half_life_stack_layer_1"][0]) == float(whole["half_life"][0, 0])


def test_a_sweep_measures_each_bias():
    models = {"seed 0": lstm(seed=0), "seed 1": lstm(seed=1)}
    sweep = recall.sweep_forget_bias(models, X, [-1.0, 2.5])
    evidence = recall.as_evidence_by_bias(sweep)
    assert list(evidence) == [
        "recall_half_life_bias_minus_1", "predicted_half_life_bias_minus_1",
        "recall_half_life_bias_2.5", "predicted_half_life_bias_2.5",
    ]  # fmt: skip
    assert evidence["recall_half_life_bias_2.5"].attrs["units"] == "steps"
    for number, name in enumerate(models):
        alone = recall.measure_recall({name: lstm(forget=2.5, seed=number)}, X)
        measured = evidence["recall_half_life_bias_2.5"].sel(model=name)
        assert float(measured) == pytest.approx(float(alone["half_life"][0, 0]), rel=1e-5)


def verdict(**forget):
    """The verdict where the gates start at these biases, whatever they are called."""
    measured = [
        recall.as_half_lives(recall.measure_recall({"seed 0": lstm(forget=bias)}, X), name, name)
        for name, bias in forget.items()
    ]
    return judge(11, xr.merge(measured))


def test_gates_clamped_open_or_shut_flip_claim_11():
    assert verdict(bias_0=0, bias_1=1, bias_5=5, trained=1) == (
        "depends", ["fails", "fails", "holds", "fails"],
    )  # fmt: skip
    assert verdict(bias_0=10, bias_1=10, bias_5=10, trained=10)[0] == "supported"
    assert verdict(bias_0=-10, bias_1=-10, bias_5=-10, trained=-10)[0] == "refuted"
