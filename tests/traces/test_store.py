import keras
import numpy as np
import pytest
import xarray as xr

from lstm_states import open_traces, record_traces, write_traces
from tests.conftest import shake


def test_round_trip_is_exact(tmp_path, rng):
    layers = [
        keras.Input((5, 4)),
        keras.layers.LSTM(3, return_sequences=True, name="second"),
        keras.layers.LSTM(2, name="first"),
    ]
    model = shake(keras.Sequential(layers), rng)
    traces = record_traces(model, rng.normal(size=(70, 5, 4)).astype("float32"))
    write_traces(traces, tmp_path / "states.zarr")
    stored = open_traces(tmp_path / "states.zarr")
    xr.testing.assert_identical(traces, stored.load())
    assert list(stored.children) == [layer.name for layer in model.layers]
    assert {v.dtype for n in stored.leaves for k, v in n.data_vars.items() if k != "mask"} == {
        np.dtype("float32")
    }
    with pytest.raises(FileExistsError, match=r"states\.zarr exists"):
        write_traces(traces, tmp_path / "states.zarr")


def test_a_missing_store_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no traces at .*nowhere"):
        open_traces(tmp_path / "nowhere")
