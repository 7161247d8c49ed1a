import keras
import numpy as np
import pytest

from experiments.depth import timescales
from tests.experiments.depth.layers import Copies, Leaks, stack_of

X = np.random.default_rng(8).normal(size=(3, 80, 2)).astype("float32")


def scales(lower, upper):
    distances = timescales.measure_distances({"one": stack_of(2, lower, upper)}, X)
    found = timescales.measure_time_scales(distances)
    return [float(found[name][0]) for name in found]


def test_the_time_scale_of_a_leak_is_that_of_its_share():
    # 0.9 to the power of 10 is the first below 1/e, and so is 0.5 to the power of 2.
    assert scales(Leaks(2, 0.5), Copies(2)) == [2, 2, 1]
    assert scales(Leaks(2, 0.0), Leaks(2, 0.9)) == [1, 10, 10]


def test_what_never_fades_counts_all_the_steps_that_there_are():
    assert scales(Leaks(2, 0.0), Leaks(2, 1.0))[1] == 60


def test_a_rise_counts_too():
    lower, upper, ratio = scales(Leaks(2, 0.9), Leaks(2, 0.9))
    distance = (np.arange(60) + 1) * 0.9 ** np.arange(60)
    peak = distance.argmax()
    expected = peak + np.flatnonzero(distance[peak:] <= distance.max() / np.e)[0]
    assert (lower, upper, ratio) == (10, expected, expected / 10)


def test_names_and_words_say_what_was_measured():
    distances = timescales.measure_distances({"one": stack_of(2, Leaks(2, 0.5), Copies(2))}, X)
    found = timescales.measure_time_scales(distances, ending="_untrained")
    assert list(found) == [
        "time_scale_layer_1_untrained",
        "time_scale_layer_2_untrained",
        "time_scale_layer_2_over_1_untrained",
    ]
    assert found["time_scale_layer_1_untrained"].attrs == {
        "long_name": "Time scale of layer 1 untrained",
        "units": "steps",
    }


def test_gates_are_counted_by_layer():
    layers = [keras.layers.LSTM(3, return_sequences=True) for _ in range(2)]
    model = keras.Sequential([keras.Input((80, 2)), *layers])
    for layer, biases in zip(layers, ([-20, 20, 0, 0], [20, 20, 0, 20]), strict=True):
        shapes = [w.shape for w in layer.get_weights()]
        bias = np.repeat(np.array(biases, float), 3)  # input, forget, candidate, output
        layer.set_weights([np.zeros(shapes[0]), np.zeros(shapes[1]), bias])
    found = timescales.measure_saturated({"one": model}, X).isel(model=0)
    assert float(found["closed_layer_1"]) == pytest.approx(1 / 3)
    assert float(found["open_layer_1"]) == pytest.approx(1 / 3)
    assert float(found["saturated_layer_1"]) == pytest.approx(2 / 3)
    assert float(found["closed_layer_2"]) == 0
    assert float(found["saturated_layer_2"]) == 1
