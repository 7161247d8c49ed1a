import sys
import warnings

import keras
import mlflow
import numpy as np
import pytest
import xarray as xr

from lstm_states import LogStateStatistics, RecordTraces, open_traces, record_traces
from lstm_states.summary import measure_norms, measure_saturation
from tests.leaks import own_store

L = keras.layers
EPOCHS = 4


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 6, 3)).astype("float32")
    return x, x[:, -1:, 0]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    with own_store():
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        yield mlflow.create_experiment("test", artifact_location=str(folder / "artifacts"))


@pytest.fixture
def run(store):
    """An active run."""
    with mlflow.start_run(experiment_id=store) as active:
        yield active


def restless():
    """Everything that draws random numbers or keeps values from batch to batch."""
    keras.utils.set_random_seed(3)
    layers = [
        L.GaussianNoise(0.1),
        L.BatchNormalization(),
        L.LSTM(4, dropout=0.2, recurrent_dropout=0.2, stateful=True, name="lstm"),
        L.Dropout(0.3),
    ]
    return compiled(*layers, batch_size=4)


def compiled(*layers, batch_size=None):
    model = keras.Sequential([keras.Input((6, 3), batch_size=batch_size), *layers, L.Dense(1)])
    model.compile("adam", "mse")
    return model


@pytest.fixture(scope="module")
def model():
    return compiled(L.LSTM(3, return_sequences=True, name="low"), L.GRU(4, name="high"))


def fit(model, data, *callbacks, epochs=EPOCHS, **options):
    x, y = data
    model.fit(x, y, batch_size=4, epochs=epochs, callbacks=list(callbacks), verbose=0, **options)
    return model


def everything(model):
    live = [state for layer in model.layers for state in getattr(layer, "states", None) or ()]
    return [np.asarray(v.value) for v in (*model.variables, *model.optimizer.variables, *live)]


# The training stays the same


def test_a_training_that_is_watched_ends_in_the_same_bits(data, run):
    plain = fit(restless(), data)
    recorded, logged = RecordTraces(data[0][:4]), LogStateStatistics(data[0][4:8], every=2)
    watched = fit(restless(), data, recorded, logged)
    for one, other in zip(everything(plain), everything(watched), strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(recorded.traces) == [0, 1, 2, 3, 4]
    # What was recorded changes with the weights, and the last is what the model does now.
    assert len({tree.attrs["weights_sha256"] for tree in recorded.traces.values()}) == 5
    now = record_traces(watched, data[0][:4])
    np.testing.assert_array_equal(recorded.traces[4]["lstm/hidden"], now["lstm/hidden"])


# RecordTraces


def test_epochs_and_what_is_passed_on(model, data, tmp_path):
    x, _ = data
    mask = np.arange(6) < np.array([[3], [6], [2]])
    options = {"layers": "low", "quantities": ["cell"], "isel": {"time": slice(-2, None)}}
    folder = tmp_path / "new" / "traces"
    recorded = RecordTraces(x[:3], every=2, directory=folder, mask=mask, **options)
    weights = {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            weights[epoch + 1] = self.model.get_weights()

    fit(model, data, recorded, Keep(), epochs=3)
    assert list(recorded.traces) == [0, 2]
    assert sorted(p.name for p in folder.iterdir()) == ["epoch_0000.zarr", "epoch_0002.zarr"]
    # A training that goes on goes on counting, and leaves what is there.
    fit(model, data, recorded, Keep(), epochs=4, initial_epoch=3)
    assert list(recorded.traces) == [0, 2, 4]
    with pytest.raises(FileExistsError, match=r"epoch_0004\.zarr exists; remove it"):
        fit(model, data, recorded, epochs=6, initial_epoch=3)
    for one, other in zip(weights[4], model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)  # refused before anything was trained
    model.set_weights(weights[2])
    expected = record_traces(model, x[:3], mask=mask, **options)
    for tree in (recorded.traces[2], open_traces(folder / "epoch_0002.zarr")):
        xr.testing.assert_equal(tree["low"].to_dataset(), expected["low"].to_dataset())


def test_what_does_not_fit_is_refused_before_the_first_epoch(model, data):
    with pytest.raises(ValueError, match="every is 0"):
        RecordTraces(data[0], every=0)
    before = everything(model)
    for callback, error, message in [
        (RecordTraces(data[0], every=3, layers="lowest"), ValueError, "matches 'lowest'"),
        (RecordTraces(data[0], quantities=["cel"]), ValueError, "quantities is"),
        (LogStateStatistics(data[0]), RuntimeError, "no MLflow run is active; start one"),
    ]:
        with pytest.raises(error, match=message):
            fit(model, data, callback)
    for one, other in zip(before, everything(model), strict=False):
        np.testing.assert_array_equal(one, other)
    assert mlflow.active_run() is None


class Spoiled(keras.callbacks.Callback):
    """Weights become NaN after the first epoch, and are whole again after the third."""

    def on_epoch_end(self, epoch, logs=None):
        weights = self.model.get_weights()
        self.kept = weights if epoch == 0 else self.kept
        spoiled = [np.full_like(w, np.nan) for w in weights]
        self.model.set_weights(spoiled if epoch < 2 else self.kept)


def test_what_can_not_be_recorded_is_warned_of_once_and_the_training_goes_on(data, run):
    model = compiled(L.GRU(2, name="low"))
    weights = model.get_weights()
    recorded, logged = RecordTraces(data[0]), LogStateStatistics(data[0])
    recorded._keep = _failing(recorded._keep, {2, 3})
    logged._keep = _failing(logged._keep, {1, 2, 3})
    with pytest.warns(UserWarning, match="OSError: no space left") as warned:
        fit(model, data, recorded, logged)
    texts = [str(one.message) for one in warned]
    assert len(texts) == 2
    assert "LogStateStatistics records nothing for epoch 1, nor" in texts[0]
    assert "RecordTraces records nothing for epoch 2, nor" in texts[1]
    assert list(recorded.traces) == [0, 1, 4]
    assert any((a != b).any() for a, b in zip(weights, model.get_weights(), strict=True))


def _failing(keep, epochs):
    def fails(epoch, traces):
        if epoch in epochs:
            raise OSError("no space left")
        keep(epoch, traces)

    return fails


def test_states_that_become_nan_do_not_end_a_training(data):
    model = compiled(L.SimpleRNN(2, name="low"))
    recorded = RecordTraces(data[0][:2])
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fit(model, data, Spoiled(), recorded)
    assert {0, 1, 4} - {1} <= set(recorded.traces)
    assert len(warned) <= 1


class Pair(L.Layer):
    """Two layers at one address, which no trace can tell apart."""

    def __init__(self):
        super().__init__(name="pair")
        self.one, self.two = L.SimpleRNN(2, name="low"), L.SimpleRNN(2, name="low")

    def build(self, shape):
        self.one.build(shape)
        self.two.build(shape)

    def call(self, x):
        return self.one(x) + self.two(x)


def test_a_layer_that_can_not_be_traced_does_not_end_a_training(data):
    model = compiled(Pair())
    with pytest.warns(UserWarning, match=r"epoch 0, .*UnsupportedLayerError: two layers"):
        fit(model, data, RecordTraces(data[0]), epochs=1)


# LogStateStatistics


def test_what_is_in_mlflow_is_what_the_states_are(model, data, run):
    x, _ = data
    mask = np.arange(6) < np.arange(1, 13)[:, np.newaxis]
    # Gates that are clearly open, closed and neither.
    model.get_layer("low").cell.bias.assign(np.repeat([-9.0, 9.0, 0.0, 0.0], 3))
    recorded = RecordTraces(x, every=2, mask=mask)
    fit(model, data, Nested(), LogStateStatistics(x, every=2, mask=mask), recorded, epochs=4)
    client = mlflow.MlflowClient()
    history = {
        name: {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)}
        for name in client.get_run(run.info.run_id).data.metrics
    }
    gates = {"low": ("input", "forget", "output"), "high": ("update", "reset")}
    names = {
        f"{layer}/{gate}_gate_saturated_{side}"
        for layer in gates
        for gate in gates[layer]
        for side in ("left", "right")
    }
    assert set(history) == names | {"low/hidden_norm", "low/cell_norm", "high/hidden_norm"}
    assert history["low/forget_gate_saturated_right"][0] == 1
    assert history["low/input_gate_saturated_left"][0] == 1
    for epoch, tree in recorded.traces.items():
        for name, steps in history.items():
            layer, what = name.split("/")
            assert set(steps) == {0, 2, 4}
            assert steps[epoch] == pytest.approx(by_numpy(tree[layer], mask, what), rel=1e-5)
    assert history["low/hidden_norm"][0] != history["low/hidden_norm"][4]


def test_any_tracker_s_function_is_called_with_what_mlflow_would_be_given(model, data, run):
    x, _ = data
    told = {}

    def log(metrics, *, step):
        told[step] = metrics

    fit(model, data, LogStateStatistics(x, every=2), LogStateStatistics(x, every=2, log=log))
    client = mlflow.MlflowClient()
    history = {
        (name, m.step): m.value
        for name in client.get_run(run.info.run_id).data.metrics
        for m in client.get_metric_history(run.info.run_id, name)
    }
    assert history == {(name, step): v for step, one in told.items() for name, v in one.items()}
    assert list(told) == [0, 2, 4]
    assert {type(value) for one in told.values() for value in one.values()} == {float}


def test_with_a_function_to_log_to_no_mlflow_is_needed(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as where it isn't installed
    told = []
    callback = LogStateStatistics(data[0], every=4, log=lambda metrics, step: told.append(step))
    model = fit(compiled(L.GRU(2, name="low")), data, callback)
    assert told == [0, 4]
    fit(model, data, callback, epochs=8, initial_epoch=4)
    assert told == [0, 4, 8]
    with pytest.raises(ImportError):
        fit(model, data, LogStateStatistics(data[0]))


class Nested(keras.callbacks.Callback):
    """Another run becomes active on the way."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            mlflow.start_run(nested=True)

    def on_train_end(self, logs=None):
        mlflow.end_run()


def by_numpy(node, mask, what):
    if what.endswith("norm"):
        values = node[what.removesuffix("_norm")].values[mask]
        return np.mean([np.linalg.norm(h) for h in values.astype(float)])
    gate, _, side = what.partition("_saturated_")
    values = node[gate].values[mask]
    return (values < 0.1).sum() / values.size if side == "left" else (values > 0.9).mean()


# The statistics themselves


def node(mask, **values):
    dims = ("sample", "time", "unit")
    variables = {name: (dims, np.array(value, float)) for name, value in values.items()}
    return xr.Dataset({**variables, "mask": (dims[:2], np.array(mask))})


def test_statistics_by_hand():
    nan = np.nan
    lstm = node(
        [[True, True, False]],
        hidden=[[[3, 4], [0, 0], [9, 9]]],
        cell=[[[6, 8], [5, 12], [9, 9]]],
        forget_gate=[[[0.95, 0.91], [0.9, 0.05], [nan, nan]]],
        candidate=[[[0.99, 0.99], [0.99, 0.99], [nan, nan]]],
    )
    gru = node([[True, False]], hidden=[[[1], [7]]], update_gate=[[[0.1], [nan]]])
    bare = node([[False]], hidden=[[[1]]])
    traces = xr.DataTree.from_dict({"/lstm": lstm, "/both/forward": gru, "/bare": bare})
    measured = xr.merge([measure_saturation(traces), measure_norms(traces)])
    expected = {
        "lstm": {
            "forget_gate_saturated_left": 0.25,
            "forget_gate_saturated_right": 0.5,
            "hidden_norm": 2.5,
            "cell_norm": 11.5,
        },
        "both/forward": {
            "update_gate_saturated_left": 0,
            "update_gate_saturated_right": 0,
            "hidden_norm": 1,
        },
        "bare": {},
    }
    assert set(measured["layer"].values) == set(expected)
    assert set(measured.data_vars) == set(expected["lstm"]) | set(expected["both/forward"])
    for layer, values in expected.items():
        for name in measured.data_vars:
            found = float(measured[name].sel(layer=layer))
            np.testing.assert_equal(found, values.get(name, nan))
