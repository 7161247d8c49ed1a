"""Recordings that are larger than memory: written batch by batch, interrupted and resumed."""

import os
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import xarray as xr

from lstm_states import IncompleteTracesError, open_traces, record_traces
from tests.conftest import shake
from tests.lstm_states.traces.models import in_batches

LSTM = keras.layers.LSTM


@pytest.fixture(scope="module")
def model():
    layers = [keras.Input((6, 4)), keras.layers.Masking(), LSTM(5, return_sequences=True), LSTM(3)]
    return shake(keras.Sequential(layers), np.random.default_rng(1))


@pytest.fixture(scope="module")
def x():
    x = np.random.default_rng(2).normal(size=(70, 6, 4)).astype("float32")
    x[5, 3:] = 0
    return x


@pytest.fixture(scope="module")
def whole(model, x):
    return record_traces(model, x, batch_size=20)


def batches(x, stop=None):
    for start in range(0, len(x), 20):
        if start == stop:
            raise KeyboardInterrupt
        yield x[start : start + 20], np.zeros(20)


def interrupted(model, x, store, **options):
    with pytest.raises(KeyboardInterrupt):
        record_traces(model, batches(x, stop=40), store=store, **options)


@pytest.mark.parametrize("place", ["folder", "memory://tests/recorded"])
def test_a_store_holds_what_memory_would(place, model, x, whole, tmp_path):
    store = tmp_path / "states.zarr" if place == "folder" else place
    stored = record_traces(model, x, batch_size=20, store=store)
    assert not stored["lstm" if "lstm" in stored else next(iter(stored.children))][
        "cell"
    ]._in_memory
    assert stored.load().identical(whole)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_outputs_in_half_precision_are_stored_as_they_were(precision, x, tmp_path):
    """NumPy and Zarr have no bfloat16: as float32, the states and the outputs keep every value."""
    layers = [
        keras.layers.LSTM(4, dtype=precision, recurrent_initializer="glorot_uniform", name="half"),
        keras.layers.Dense(2, dtype=precision),
    ]
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    stored = record_traces(model, x, store=tmp_path / "half.zarr")
    assert stored["outputs"].dtype == stored["half/hidden"].dtype == "float32"
    predicted = keras.ops.cast(model(x), "float32")
    np.testing.assert_array_equal(stored["outputs"], predicted)


@pytest.mark.parametrize(
    "isel", [{"sample": [5, 69, 3, 0, 8]}, {"time": [4, 1]}, {"unit": [0, 2]}], ids=str
)
def test_a_store_of_a_part_is_written_batch_by_batch(isel, model, x, tmp_path):
    rows = 2 if "sample" in isel else 20
    stored = record_traces(model, x, isel=isel, batch_size=rows, store=tmp_path / "states.zarr")
    assert stored.load().identical(record_traces(model, x, isel=isel, batch_size=rows))


def test_a_stream_equals_arrays(model, x, whole):
    assert record_traces(model, batches(x)).identical(whole)


def test_an_interrupted_recording_is_refused_and_resumed(model, x, whole, tmp_path):
    store = tmp_path / "states.zarr"
    interrupted(model, x, store)
    with pytest.raises(IncompleteTracesError, match="only the first 40 samples"):
        open_traces(store)
    seen = []

    def watched():
        for batch in batches(x):
            seen.append(len(batch[0]))
            yield batch

    assert record_traces(model, watched(), store=store).load().identical(whole)
    assert seen == [20, 20, 20, 10]
    with pytest.raises(FileExistsError, match="exists; remove it"):
        record_traces(model, x, store=store)


def test_only_the_same_recording_is_resumed(model, x, tmp_path):
    store = tmp_path / "states.zarr"
    interrupted(model, x, store)
    other = x.copy()
    other[39, 0, 0] += 1
    for wrong in (other, x[:30]):
        with pytest.raises(ValueError, match="doesn't begin with the 40 samples"):
            record_traces(model, batches(wrong), store=store)
    with pytest.raises(ValueError, match=r"quantities is .* there, not"):
        record_traces(model, batches(x), store=store, quantities=["cell"])
    weights = model.get_weights()
    model.set_weights([weight + 1 for weight in weights])
    with pytest.raises(ValueError, match="weights_sha256 is"):
        record_traces(model, batches(x), store=store)
    model.set_weights(weights)
    assert record_traces(model, batches(x), store=store).sizes["sample"] == 70


def test_a_stateful_model_goes_on_from_the_state_before_the_interruption(x, tmp_path):
    layers = [keras.Input((6, 4), batch_size=10), LSTM(3, stateful=True, name="live")]
    model = shake(keras.Sequential(layers), np.random.default_rng(3))
    expected = model.predict(x, batch_size=10, verbose=0)
    model.layers[0].reset_state()
    whole = record_traces(model, x)
    np.testing.assert_allclose(whole["outputs"], expected, atol=1e-6)

    store = tmp_path / "states.zarr"
    with pytest.raises(KeyboardInterrupt):
        record_traces(model, in_batches(x, 10, stop=30), store=store)
    resumed = record_traces(model, in_batches(x, 10), store=store).load()
    xr.testing.assert_identical(resumed["live"].to_dataset(), whole["live"].to_dataset())


def test_a_batch_of_another_length_is_named_and_the_store_stays(model, x, whole, tmp_path):
    store = tmp_path / "states.zarr"
    flexible = keras.Sequential([keras.Input((None, 4)), *model.layers])

    def ragged():
        yield x[:20]
        yield x[20:40, :5]

    with pytest.raises(ValueError, match=r"has time 5 in the batch and time 6 in"):
        record_traces(flexible, ragged(), store=store)
    with pytest.raises(IncompleteTracesError, match="first 20 samples"):
        open_traces(store)
    with pytest.raises(ValueError, match=r"has shape .* pad all batches to one length"):
        record_traces(flexible, ragged())


def test_nothing_to_record_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="x yields no batch"):
        record_traces(model, iter(()))
    with pytest.raises(ValueError, match="x yields no batch"):
        record_traces(model, iter(()), store=tmp_path / "states.zarr")
    with pytest.raises(ValueError, match="mask requires arrays"):
        record_traces(model, iter(()), mask=np.ones((2, 6), bool))


def test_the_progress_bar_counts_samples(model, x, tmp_path, capsys):
    record_traces(model, x, batch_size=20)
    assert capsys.readouterr() == ("", "")
    record_traces(model, x, batch_size=20, progress=True)
    assert "70/70" in capsys.readouterr().err


KILLED = """
    import os, signal, sys
    import keras, numpy as np
    from lstm_states import record_traces

    model = keras.saving.load_model(sys.argv[1])
    x = np.load(sys.argv[2])

    def batches():
        for start in range(0, len(x), 20):
            if start == 40:
                os.kill(os.getpid(), signal.SIGKILL)
            yield x[start : start + 20]

    record_traces(model, batches(), store=sys.argv[3])
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras's save
def test_a_killed_process_loses_no_recorded_batch(model, x, whole, tmp_path):
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    store = tmp_path / "states.zarr"
    arguments = [str(tmp_path / "model.keras"), str(tmp_path / "x.npy"), str(store)]
    command = [sys.executable, "-c", textwrap.dedent(KILLED), *arguments]
    assert subprocess.run(command, env=os.environ, check=False).returncode == -signal.SIGKILL
    with pytest.raises(IncompleteTracesError, match="first 40 samples"):
        open_traces(store)
    assert record_traces(model, batches(x), store=store).load().identical(whole)
