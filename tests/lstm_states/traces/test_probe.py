"""Amplified rounding is no error, states that explode are recorded, and faults are found."""

from types import MethodType

import keras
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import check_traces, open_traces, record_traces
from lstm_states.kernels import layer as kernel_layer
from lstm_states.kernels.scan import CellRun, scan_cell
from lstm_states.proof.refusals import TraceError
from lstm_states.traces import intercept
from tests.conftest import shake

L = keras.layers


def with_gain(layer, gain, rng):
    """A model of one layer whose recurrent weights have this spectral radius."""
    model = keras.Sequential([keras.Input((40, 10)), layer])
    kernel, recurrent, *rest = layer.get_weights()
    recurrent = rng.normal(0, gain / recurrent.shape[0] ** 0.5, recurrent.shape)
    layer.set_weights([kernel, recurrent, *rest])
    return model


@pytest.mark.parametrize(
    ("layer", "gain"), [(L.SimpleRNN, 3), (L.SimpleRNN, 1e4), (L.GRU, 30), (L.LSTM, 100)]
)
def test_large_weights_are_no_error(layer, gain, rng):
    model = with_gain(layer(200, return_sequences=True, name="low"), gain, rng)
    x = rng.normal(size=(4, 40, 10)).astype("float32")
    traces = record_traces(model, x)
    residuals = check_traces(traces).to_dataarray()
    assert float(residuals.max()) < 1e-4
    # Keras's own step from each recorded state gives the next: chaos can't be compared otherwise.
    cell, hidden = model.layers[0].cell, traces["low/hidden"].values
    names = ["hidden", "cell"] if layer is L.LSTM else ["hidden"]
    states = [tf.constant(traces["low"][name].values[:, 20]) for name in names]
    own, _ = cell(x[:, 21], states)
    close = np.abs(np.asarray(own) - hidden[:, 21])
    assert np.quantile(close, 0.9) < 1e-4


def exploding():
    layer = L.LSTM(8, activation="relu", return_sequences=True, name="low")
    model = keras.Sequential([keras.Input((60, 4)), layer])
    keras.utils.set_random_seed(0)
    kernel, recurrent, bias = (
        np.random.default_rng(3).normal(0, 0.3, w.shape) for w in layer.get_weights()
    )
    layer.set_weights([kernel * 20, recurrent * 60, bias])
    return model, np.random.default_rng(0).normal(size=(4, 60, 4)).astype("float32")


def test_states_that_explode_are_recorded_and_the_first_nan_is_named(tmp_path):
    model, x = exploding()
    expected = model.predict(x, verbose=0)
    first = [int(np.isnan(row).any(1).argmax()) for row in expected]
    rows = [row for row in range(4) if np.isnan(expected[row]).any()]
    assert len(rows) > 1
    assert first[rows[0]] > 1
    place = f"sample {rows[0]}, step {first[rows[0]]}"
    with pytest.warns(UserWarning, match=f"'low' from {place}. x and the weights hold no NaN"):
        traces = record_traces(model, x, batch_size=2, store=tmp_path / "states.zarr")
    # Which units are NaN and which infinite hangs on the order in which a product is added up.
    nan = np.isnan(expected).any(2)
    np.testing.assert_array_equal(np.isnan(traces["low/hidden"]).any("unit"), nan)
    np.testing.assert_allclose(traces["outputs"].values[~nan], expected[~nan], rtol=1e-3)
    assert open_traces(tmp_path / "states.zarr").attrs["first_nan"] == [f"low: {place}"]
    assert float(check_traces(traces)["carried"].max()) == 0
    with pytest.warns(UserWarning, match=f"from sample {rows[1]}, step {first[rows[1]]}"):
        record_traces(model, x, isel={"sample": [rows[1]]})


def test_nan_in_x_and_in_the_weights_is_named(rng):
    low = L.GRU(3, go_backwards=True, name="low")
    model = shake(keras.Sequential([keras.Input((5, 4)), low]), rng)
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    x[1, 2] = np.nan
    with pytest.warns(UserWarning, match=r"from sample 1, step 2\. x holds NaN"):
        traces = record_traces(model, x)
    assert np.isnan(traces["low/hidden"]).any("unit").values.tolist() == [
        [False] * 5, [True, True, True, False, False], [False] * 5,
    ]  # fmt: skip
    low.set_weights([w * np.nan for w in low.get_weights()])
    with pytest.warns(UserWarning, match=r"from sample 0, step 4\. The weights .* hold NaN"):
        record_traces(model, np.zeros_like(x))


# Numbers of 1e19 are large, but the products of this layer don't overflow.
@pytest.mark.parametrize(("wrong", "size"), [(np.nan, 1), (np.inf, 1), (1e-3, 1), (np.nan, 1e19)])
def test_a_number_that_the_layer_does_not_give_is_refused(wrong, size, rng, monkeypatch):
    """In the first sample's middle step; NaN in a sample between, which isn't looked at else."""
    model = shake(keras.Sequential([keras.Input((30, 4)), L.SimpleRNN(3, name="low")]), rng)
    kernel = scan_cell

    def spoiled(cell, sequences, *rest):
        run = kernel(cell, sequences, *rest)
        row = 2 if np.isnan(wrong) else 0
        place = tf.one_hot(15, 30, wrong, 0.0)[:, None, None] * tf.one_hot(row, 5)[:, None]
        place = tf.where(tf.math.is_nan(place) & (tf.one_hot(row, 5)[:, None] < 1), 0.0, place)
        return CellRun({"hidden": run.values["hidden"] + place})

    monkeypatch.setattr(kernel_layer, "scan_cell", spoiled)
    with pytest.raises(TraceError, match=r"'low': the recorded states differ from the layer's own"):
        record_traces(model, size * rng.normal(size=(5, 30, 4)).astype("float32"))


def test_the_layer_stays_as_it_is_while_it_is_probed(rng, monkeypatch):
    """Another thread may call it meanwhile."""
    model = shake(keras.Sequential([keras.Input((5, 4)), L.GRU(3)]), rng)
    layer, probe, seen = model.layers[0], intercept.probe_run, []

    def watched(traced, original, *rest):
        seen.append(original.__self__.cell is layer.cell and original.__self__ is not layer)
        before = {name: id(value) for name, value in vars(layer).items()}
        probes = probe(traced, original, *rest)
        assert {name: id(value) for name, value in vars(layer).items()} == before
        assert not layer.unroll
        return probes

    monkeypatch.setattr(intercept, "probe_run", watched)
    record_traces(model, rng.normal(size=(2, 5, 4)).astype("float32"))
    assert seen == [True]


def test_an_integer_input_is_cast_as_keras_does(rng):
    for dtype in ("int64", "bool"):
        model = shake(keras.Sequential([keras.Input((5, 4), dtype=dtype), L.LSTM(3)]), rng)
        x = rng.integers(0, 9, (2, 5, 4)).astype(dtype)
        outputs = record_traces(model, x)["outputs"]
        np.testing.assert_allclose(outputs, model.predict(x, verbose=0), atol=1e-6)


def test_recording_under_a_tape_leaves_the_tape_alone(rng):
    model = shake(keras.Sequential([keras.Input((5, 4)), L.LSTM(3)]), rng)
    x = tf.constant(rng.normal(size=(2, 5, 4)), "float32")
    with tf.GradientTape() as alone:
        y = model(x)
    expected = alone.gradient(y, model.trainable_variables)
    with tf.GradientTape() as tape:
        record_traces(model, x)
        y = model(x)
    for one, other in zip(tape.gradient(y, model.trainable_variables), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_method_replaced_on_a_cell_is_followed(rng):
    """Gates that such a cell has aren't known; its states are."""
    layer = L.LSTM(3, return_sequences=True, name="low")
    model = shake(keras.Sequential([keras.Input((5, 4)), layer]), rng)
    own = layer.cell._compute_carry_and_output_fused

    def clipped(cell, z, c):
        c, o = own(z, c)
        return keras.ops.clip(c, -0.1, 0.1), o

    layer.cell._compute_carry_and_output_fused = MethodType(clipped, layer.cell)
    x = rng.normal(size=(2, 5, 4)).astype("float32")
    traces = record_traces(model, x)
    assert float(abs(traces["low/cell"]).max()) == np.float32(0.1)
    assert "forget_gate" not in traces["low"]
    np.testing.assert_allclose(traces["outputs"], model.predict(x, verbose=0), atol=1e-6)
