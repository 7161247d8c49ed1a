import os
import subprocess
import sys
from types import SimpleNamespace

import IPython.display
import keras
import nbformat
import numpy as np
import pytest
import tensorflow as tf
import xarray as xr

from experiments.forecasting import training
from experiments.forecasting.configuration import Configuration
from experiments.forecasting.settings import Centered
from experiments.forecasting.training import (
    ProgressLine,
    fit_seeds,
    predict_test,
    save_model,
    typical_seed,
)
from experiments.shared.learning import make_deterministic
from lstm_states import accelerate, decelerate
from tests.repository import ROOT


def make_samples(x, y, part, **more):
    x = np.asarray(x, np.float32)
    samples = xr.Dataset(
        {"x": (("sample", "time", "feature")[: x.ndim], x), "part": ("sample", part)}
    )
    for name, values in {"y": y, **more}.items():
        samples[name] = "sample", np.asarray(values, np.float32)
    return samples


def one_weight():
    """y = w x, from w = 0: with x = 1 and y = 1 an epoch takes a tenth off 1 - w."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "linear", False, "zeros")])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def lstm_with_dropout():
    model = keras.Sequential(
        [keras.Input((4, 2)), keras.layers.LSTM(3, dropout=0.5), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    return model


@pytest.fixture
def samples():
    """Training wants w = 1, validation w = 0.3: its loss falls until w = 0.271, epoch 3."""
    return make_samples(
        np.ones((8, 1)), [1.0] * 4 + [0.3] * 2 + [9.0] * 2, [0] * 4 + [1] * 2 + [2] * 2
    )


def fit(build, samples, **options):
    return fit_seeds(
        build, samples, **{"seeds": [0], "epochs": 4, "batch_size": 4, "patience": 0} | options
    )


def weight(model):
    return model.get_weights()[0].item()


# One weight, followed by hand


def test_without_patience_the_last_weights_stay(samples):
    [model], history = fit(one_weight, samples)
    assert weight(model) == pytest.approx(1 - 0.9**4)
    assert history["kept_epoch"].values.tolist() == [4]
    w = 1 - 0.9 ** np.arange(1, 5)
    np.testing.assert_allclose(history["val_loss"].sel(seed=0), (w - 0.3) ** 2, rtol=1e-4)
    np.testing.assert_allclose(history["loss"].sel(seed=0), 0.81 ** np.arange(4), rtol=1e-4)
    np.testing.assert_array_equal(history["epoch"], [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("patience", "epochs", "run"),
    [(1, 10, 4), (2, 10, 5), (3, 4, 4), (9, 6, 6)],  # the last two end before patience does
)
def test_with_patience_the_best_weights_come_back(samples, patience, epochs, run):
    [model], history = fit(one_weight, samples, patience=patience, epochs=epochs)
    assert weight(model) == pytest.approx(1 - 0.9**3)
    assert history["kept_epoch"].values.tolist() == [3]
    ran = history["epoch"].values <= run
    for name in ("loss", "val_loss"):
        np.testing.assert_array_equal(np.isfinite(history[name].values[0]), ran)


def test_a_stride_leaves_training_samples_out(samples):
    samples["y"] = "sample", np.array([0, 5, 0, 5, 0.3, 0.3, 9, 9], np.float32)
    [every], _ = fit(one_weight, samples)
    [second], history = fit(one_weight, samples, train_stride=2)
    assert weight(every) > 0.5
    assert weight(second) == 0
    # The validation part is whole.
    np.testing.assert_allclose(history["val_loss"], 0.09, rtol=1e-6)


def test_models_learn_what_is_left_above_the_level(samples):
    samples["level"] = "sample", np.array([20.0] * 4 + [30.0] * 2 + [40.0, 50.0], np.float32)
    samples["y"] = samples["y"] + samples["level"]
    models, history = fit(one_weight, samples)
    assert weight(models[0]) == pytest.approx(1 - 0.9**4, rel=1e-4)
    w = 1 - 0.9**4
    np.testing.assert_allclose(history["val_loss"][0, -1], (w - 0.3) ** 2, rtol=1e-3)
    np.testing.assert_allclose(predict_test(models, samples), [[40 + w, 50 + w]], rtol=1e-6)


def test_the_test_part_has_no_say(samples):
    [before], history_before = fit(one_weight, samples, patience=2)
    samples["y"][6:] = np.nan
    samples["x"][6:] = np.nan
    [after], history_after = fit(one_weight, samples, patience=2)
    assert weight(before) == weight(after)
    assert history_before.identical(history_after)


def test_listeners_are_told_of_every_epoch(samples):
    told = []
    _, history = fit(
        one_weight, samples, seeds=[7, 3], epochs=2,
        listeners=[lambda *news: told.append(news), lambda seed, epoch, losses: losses["loss"]],
    )  # fmt: skip
    assert [(seed, epoch) for seed, epoch, _ in told] == [(7, 1), (7, 2), (3, 1), (3, 2)]
    for seed, epoch, losses in told:
        expected = {n: history[n].sel(seed=seed, epoch=epoch).item() for n in ("loss", "val_loss")}
        assert losses == expected


# Seeds


@pytest.fixture
def noise(rng):
    return make_samples(
        rng.normal(0, 1, (24, 4, 2)), rng.normal(0, 1, 24), np.repeat([0, 1, 2], [12, 6, 6])
    )


def test_a_seed_decides_everything(noise):
    first, history = fit(lstm_with_dropout, noise, seeds=[5, 6], epochs=2)
    again, history_again = fit(lstm_with_dropout, noise, seeds=[6, 5], epochs=2)
    for one, two in zip(first, reversed(again), strict=True):
        for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert history.identical(history_again.sel(seed=[5, 6]))
    assert (first[0].get_weights()[0] != first[1].get_weights()[0]).all()


def test_the_training_that_01_stacked_shows_ends_with_the_same_weights(rng):
    cells = nbformat.read(ROOT / "notebooks/01_stacked.ipynb", as_version=4).cells
    [shown] = [cell.source for cell in cells if cell.id == "stacked-by-hand"]
    to_the_end = shown.replace("epochs = 1 ", "epochs = settings.epochs ")
    assert to_the_end != shown
    settings = Centered(
        dataset="made", target="y", window=4, center=True, train_stride=2, units=[3, 2],
        head_units=1, head_activation=None, loss="mse", learning_rate=0.05, dropout=0.1,
        batch_size=4, epochs=3, patience=1, seeds=[3], trace_samples=1, resamples=100,
    )  # fmt: skip
    y, level = rng.normal(0, 1, (2, 40))
    x, part = rng.normal(0, 1, (40, 4, 2)), np.repeat([0, 1, 2], [24, 8, 8])
    samples = make_samples(x, y, part, level=level)
    configuration = Configuration("stacked", settings, samples)
    scope = {"settings": settings, "samples": samples, "configuration": configuration,
             "keras": keras, "LSTM": keras.layers.LSTM, "Dense": keras.layers.Dense,
             "training": training, "accelerate": accelerate}  # fmt: skip
    exec(to_the_end, scope)
    options = {"train_stride": 2, "batch_size": 4, "epochs": 3, "patience": 1, "seeds": [3]}
    [model], history = fit(configuration.build, samples, **options)
    assert history["kept_epoch"].item() > 1
    for one, two in zip(scope["stack"].get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("val_loss", "kept", "typical"),
    [
        ([[3.0], [1.0], [2.0]], [1, 1, 1], 2),
        ([[4.0], [1.0], [3.0], [2.0]], [1, 1, 1, 1], 3),  # the lower of the two in the middle
        ([[9.0, 1.0], [2.0, 8.0], [3.0, 7.0]], [2, 1, 1], 1),  # what counts is the kept epoch
        ([[1.0, np.nan], [5.0, 0.5], [2.0, 3.0]], [1, 2, 1], 0),
        ([[1.0]], [1], 0),
    ],
)
def test_the_typical_seed_has_the_median_loss(val_loss, kept, typical):
    epochs = np.arange(1, 1 + len(val_loss[0]))
    history = xr.Dataset(
        {"val_loss": (("seed", "epoch"), val_loss), "kept_epoch": ("seed", kept)},
        coords={"seed": 10 + np.arange(len(kept)), "epoch": epochs},
    )
    assert typical_seed(history) == typical


# Predictions


def dense(kernel, bias):
    kernel = np.asarray(kernel, np.float32)
    model = keras.Sequential([keras.Input((None, len(kernel))), keras.layers.Dense(len(bias))])
    model.set_weights([kernel, np.asarray(bias, np.float32)])
    return model


@pytest.fixture
def steps():
    x = np.arange(12.0).reshape(3, 2, 2)
    return make_samples(x, np.zeros(3), [0, 2, 2])


def test_a_prediction_at_every_step(steps):
    models = [dense([[1], [0]], [0]), dense([[1], [1]], [100])]
    np.testing.assert_array_equal(
        predict_test(models, steps), [[[4, 6], [8, 10]], [[109, 113], [117, 121]]]
    )


def test_a_wide_head_gives_the_most_probable_class(steps):
    model = dense([[1, 0, 0], [0, 0, 2]], [0, 99, 0])
    np.testing.assert_array_equal(predict_test([model], steps), [[[1, 1], [1, 1]]])
    model = dense([[1, 0, 0], [0, 0, 2]], [0, 0, -8])
    np.testing.assert_array_equal(predict_test([model], steps), [[[0, 0], [2, 2]]])


# What surrounds them


def test_threads_cannot_be_set_once_tensorflow_runs():
    tf.constant(1) + 1
    with pytest.raises(RuntimeError, match="cannot be modified after initialization"):
        make_deterministic(threads=tf.config.threading.get_inter_op_parallelism_threads() + 1)


def in_a_process(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, check=False,
        capture_output=True, encoding="utf-8",
    )  # fmt: skip


def test_keras_has_its_documented_settings_whatever_keras_json_says(tmp_path):
    settings = '{"floatx": "float64", "epsilon": 0.001, "backend": "jax", ' \
        '"image_data_format": "channels_first"}'  # fmt: skip
    (tmp_path / "keras.json").write_text(settings, encoding="utf-8")
    code = (
        "from experiments.shared.learning import make_deterministic; make_deterministic(); "
        "import keras; "
        "print(keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format(), "
        "keras.layers.Dense(1).dtype)"
    )
    done = in_a_process(code, KERAS_HOME=str(tmp_path), KERAS_BACKEND="")
    assert done.stdout == "float32 1e-07 channels_last float32\n", done.stderr


def test_another_backend_is_refused_in_one_line():
    done = in_a_process("import experiments.shared.learning", KERAS_BACKEND="jax")
    assert done.stderr.splitlines()[-1] == (
        "ImportError: lstm_states requires TensorFlow, but KERAS_BACKEND is 'jax': set it to "
        "tensorflow before Python starts"
    )


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
def test_a_saved_model_is_the_same_bytes_and_predicts_the_same(tmp_path, noise):
    [model], _ = fit(lstm_with_dropout, noise, epochs=1)
    for name in ("a", "b"):
        save_model(model, tmp_path / "new" / name)
    for name in ("model.json", "model.weights.h5"):
        first, second = ((tmp_path / "new" / folder / name).read_bytes() for folder in "ab")
        assert first == second
    loaded = keras.models.model_from_json(
        (tmp_path / "new" / "a" / "model.json").read_text(encoding="utf-8")
    )
    loaded.load_weights(tmp_path / "new" / "a" / "model.weights.h5")
    x = noise["x"].values
    decelerate(model)  # what is loaded runs as stock Keras
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_the_progress_line_is_redrawn(monkeypatch):
    shown = []
    line = SimpleNamespace(update=shown.append)
    monkeypatch.setattr(IPython.display, "display", lambda *args, **options: line)
    progress = ProgressLine(seeds=[4, 9], epochs=8)
    progress(9, 3, {"loss": 0.5, "val_loss": 0.25})
    assert [line.data for line in shown] == [
        "seed 2 of 2, epoch 3 of 8: loss 0.5000, val_loss 0.2500"
    ]
