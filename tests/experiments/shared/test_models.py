import keras
import numpy as np
import pytest

from experiments.shared.models import (
    build_encoder_decoder,
    build_intermediate_outputs,
    build_stacked,
    build_variable_length,
)
from tests.conftest import shake


@pytest.mark.parametrize(
    ("model", "layers", "output"),
    [
        (build_stacked(100, 8), "LSTM LSTM Dense", (None, 1)),
        (build_intermediate_outputs(100, 8), "LSTM LSTM TimeDistributed", (None, 100, 1)),
        (build_variable_length(8), "Masking LSTM LSTM Dense", (None, 1)),
    ],
)
def test_defaults_are_the_documented_models(model, layers, output):
    assert " ".join(type(layer).__name__ for layer in model.layers) == layers
    recurrent = [layer for layer in model.layers if isinstance(layer, keras.layers.LSTM)]
    assert [layer.units for layer in recurrent] == [64, 32]
    assert [layer.count_params() for layer in recurrent] == [18_688, 12_416]
    assert model.layers[-1].count_params() == 33
    assert model.output_shape == output
    assert recurrent[0].return_sequences
    assert recurrent[1].return_sequences is (len(output) == 3)
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    assert model.loss == "mse"
    # Everything else is as a plain layer has it.
    plain = keras.layers.LSTM(64, return_sequences=True).get_config()
    ours = recurrent[0].get_config()
    assert {k: v for k, v in ours.items() if k != "name"} == {
        k: v for k, v in plain.items() if k != "name"
    }


def test_masking_skips_all_zero_steps_only():
    model = build_variable_length(2)
    assert model.layers[0].mask_value == 0.0
    x = np.ones((1, 3, 2), "float32")
    padded = np.concatenate([x, np.zeros((1, 2, 2), "float32")], axis=1)
    np.testing.assert_allclose(model(x), model(padded), atol=1e-7)


def test_options_reach_the_model():
    model = build_variable_length(
        3, units=[4, 5, 6], head_units=2, head_activation="softmax",
        loss="sparse_categorical_crossentropy", learning_rate=0.01, mask_value=-1.0,
    )  # fmt: skip
    assert [layer.units for layer in model.layers[1:4]] == [4, 5, 6]
    assert [layer.return_sequences for layer in model.layers[1:4]] == [True, True, False]
    assert model.layers[-1].activation is keras.activations.softmax
    assert model.layers[0].mask_value == -1.0
    assert model.loss == "sparse_categorical_crossentropy"
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: build_stacked(0, 8), "timesteps is 0"),
        (lambda: build_stacked(10, 2.5), "features is 2.5"),
        (lambda: build_stacked(10, 8, units=()), "units is empty"),
        (lambda: build_stacked(10, 8, units=(64, -1)), r"units\[1\] is -1"),
        (lambda: build_variable_length(8, head_units=0), "head_units is 0"),
    ],
)
def test_bad_sizes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# An encoder with a decoder


def test_a_decoder_starts_layer_by_layer_where_the_encoder_ended(rng):
    model = shake(build_encoder_decoder(3, 2, units=(5, 4)), rng)
    assert model.output_shape == (None, None, 1)
    assert model.loss == "mse"
    read, given = rng.normal(size=(3, 6, 3)), rng.normal(size=(3, 4, 2))
    first, second = (model.get_layer(name) for name in ("encoder", "encoder_1"))
    sequence, *low = first(read)
    _, *high = second(sequence)
    decoded = model.get_layer("decoder")(given, initial_state=low)
    decoded = model.get_layer("decoder_1")(decoded, initial_state=high)
    expected = model.layers[-1](decoded)
    np.testing.assert_allclose(model([read, given]), expected, atol=1e-6)
    without = model.get_layer("decoder_1")(model.get_layer("decoder")(given))
    assert np.abs(model.layers[-1](without) - expected).max() > 1e-2
    model.fit([read, given], rng.normal(size=(3, 4, 1)), verbose=0)
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again([read, given]), model([read, given]), atol=1e-6)


def test_bad_sizes_of_an_encoder_are_named():
    for sizes, message in [((0, 2), "features is 0"), ((3, 0), "target_features is 0")]:
        with pytest.raises(ValueError, match=message):
            build_encoder_decoder(*sizes)
    with pytest.raises(ValueError, match="units is empty"):
        build_encoder_decoder(3, 2, units=())
