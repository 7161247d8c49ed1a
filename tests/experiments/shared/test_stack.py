import keras
import numpy as np
import pytest

from experiments.shared.models import build_stacked
from experiments.shared.stack import distance, make_models, recurrent, run_layers, states_after
from lstm_states import record_traces
from tests.experiments.shared import altered

X = np.random.default_rng(3).normal(size=(2, altered.STEPS, altered.FEATURES))


def test_layers_called_one_by_one_do_what_the_tracer_records():
    model = altered.stack()
    runs, traces = run_layers(model, X), record_traces(model, X)
    for layer in recurrent(model):
        run, node = runs[layer.name], traces[layer.name]
        np.testing.assert_allclose(run.sequence, node["hidden"], atol=1e-7)
        np.testing.assert_allclose(run.states[1], node["cell"].isel(time=-1), atol=1e-7)


def test_a_start_is_taken_and_options_are_put_back():
    model = altered.stack()
    options = [(layer.return_sequences, layer.return_state) for layer in recurrent(model)]
    later = run_layers(model, X[:, 5:], states_after(model, X[:, :5]))
    whole = run_layers(model, X)
    for name, run in later.items():
        assert distance(run.sequence, whole[name].sequence[:, 5:]) < 1e-12
    assert [(la.return_sequences, la.return_state) for la in recurrent(model)] == options


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
def test_models_are_in_double_precision_trained_and_random(tmp_path):
    trained = build_stacked(5, 3, units=(4, 3))
    trained.save_weights(tmp_path / "model.weights.h5")
    models = make_models(
        lambda: build_stacked(5, 3, units=(4, 3)), tmp_path / "model.weights.h5", [1, 2]
    )
    assert list(models) == ["trained", "seed 1", "seed 2"]
    assert (keras.config.floatx(), keras.config.dtype_policy().name) == ("float32", "float32")
    for ours, theirs in zip(models["trained"].weights, trained.weights, strict=True):
        assert ours.dtype == "float64"
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    one, two = (models[f"seed {n}"].layers[0].cell.bias.numpy() for n in (1, 2))
    assert 0.1 < one.std() < 0.6
    assert not np.array_equal(one, two)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.weights.h5 is missing; `dvc repro` makes"):
        make_models(lambda: build_stacked(5, 3), tmp_path / "none.weights.h5", [0])


def test_shapes_that_differ_are_infinitely_far_apart():
    assert distance(np.zeros((2, 3)), np.zeros((2, 4))) == float("inf")
    assert distance([1.0, 2.0], [1.0, -1.0]) == 3
