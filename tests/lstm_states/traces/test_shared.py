"""Recordings whose batches the workers of a Dask cluster share."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import ExitStack, contextmanager
from pathlib import Path

import keras
import numpy as np
import pytest
from distributed import Client

from lstm_states import (
    Edit,
    IncompleteTracesError,
    TraceError,
    open_traces,
    record_traces,
)
from tests.conftest import shake
from tests.lstm_states.traces.models import in_batches
from tests.repository import ROOT

LSTM, GRU = keras.layers.LSTM, keras.layers.GRU


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):
    """A layer that workers have to import."""

    def call(self, x):
        return 2 * x


def build_model():
    layers = [
        keras.Input((6, 4)),
        keras.layers.Masking(),
        LSTM(5, return_sequences=True, name="low"),
        keras.layers.Bidirectional(GRU(3, return_sequences=True), name="both"),
        keras.layers.SimpleRNN(2, name="top"),
    ]
    return shake(keras.Sequential(layers, name="several"), np.random.default_rng(1))


@contextmanager
def cluster(place, *options):
    """Start a scheduler and workers; yield the former's process. A LocalCluster changes os.environ.

    Args:
        place: The file where clients find the scheduler.
        options: Of the workers.
    """
    program = "from distributed.cli.dask_{0} import main; main()"
    common = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(place)]
    with ExitStack() as ends:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", program.format(kind), *own, *common],
                cwd=ROOT, stderr=subprocess.DEVNULL,
            )
            for kind, own in (("scheduler", ["--port=0"]), ("worker", ["--nthreads=1", *options]))
        ]  # fmt: skip
        for process in processes:
            ends.callback(process.wait, 60)
            ends.callback(process.terminate)
        yield processes[0]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    place = tmp_path_factory.mktemp("cluster") / "scheduler.json"
    with (
        cluster(place, "--nworkers=2", "--memory-limit=0"),
        Client(scheduler_file=str(place), timeout=60) as client,
    ):
        client.wait_for_workers(2, timeout=120)
        yield client


@pytest.fixture(scope="module")
def model():
    return build_model()


@pytest.fixture(scope="module")
def x():
    x = np.random.default_rng(2).normal(size=(70, 6, 4)).astype("float32")
    x[5, 3:] = x[45, :2] = x[66] = 0
    return x


@pytest.fixture(scope="module")
def whole(model, x, tmp_path_factory):
    store = tmp_path_factory.mktemp("whole") / "states.zarr"
    record_traces(model, x, batch_size=10, store=store)
    return store


def contents(store):
    """Return the bytes of all files of a store."""
    files = [file for file in Path(store).rglob("*") if file.is_file()]
    return {file.relative_to(store).as_posix(): file.read_bytes() for file in files}


def edits(x):
    rng = np.random.default_rng(3)
    return [
        Edit("low", "cell", set=rng.normal(size=(70, 6, 5))),
        Edit("low", "forget_gate", clamp=(0.3, None), sample=[3, 44], time=slice(1, 4)),
        Edit("both/forward", "update_gate", hold=True, unit=[0]),
        Edit("top", "hidden", swap=(0, 1), sample=slice(60, None)),
    ]


def options_of(case, x):
    if case == "all":
        return {"batch_size": 10}
    if case == "edits":
        return {"batch_size": 10, "edits": edits(x), "layers": ["low", "both"]}
    start = {"low": [np.ones((30, 5)), np.arange(150.0).reshape(30, 5) / 150]}
    part = {"sample": np.arange(69, 9, -2), "time": [1, 2, 5], "unit": [0, 1]}
    return {"batch_size": 7, "isel": part, "initial_state": start, "outputs": False}


@pytest.mark.parametrize("case", ["all", "edits", "part"])
def test_a_shared_store_is_the_same_in_every_byte(case, client, model, x, tmp_path):
    alone, shared = tmp_path / "alone.zarr", tmp_path / "shared.zarr"
    expected = record_traces(model, x, store=alone, **options_of(case, x))
    found = record_traces(model, x, store=shared, client=client, **options_of(case, x))
    assert contents(shared) == contents(alone)
    assert found.identical(expected)


def test_a_stream_is_shared_and_the_bar_counts(client, model, x, whole, tmp_path, capsys):
    options = {"store": tmp_path / "states.zarr", "progress": True}
    record_traces(model, in_batches(x, 10), client=client, **options)
    assert contents(tmp_path / "states.zarr") == contents(whole)
    assert "70sample" in capsys.readouterr().err


def test_either_way_goes_on_with_what_the_other_began(client, model, x, whole, tmp_path):
    for number, (first, then) in enumerate([(None, client), (client, None)]):
        store = tmp_path / f"{number}.zarr"
        with pytest.raises(KeyboardInterrupt):
            record_traces(model, in_batches(x, 10, stop=40), store=store, client=first)
        with pytest.raises(IncompleteTracesError, match=r"first [1-4]0 samples"):
            open_traces(store)
        record_traces(model, x, batch_size=10, store=store, client=then)
        assert contents(store) == contents(whole)


def test_only_the_same_recording_is_continued(client, model, x, tmp_path):
    store = tmp_path / "states.zarr"
    with pytest.raises(KeyboardInterrupt):
        record_traces(model, in_batches(x, 10, stop=20), store=store)
    other = build_model()
    other.set_weights([weight + 1 for weight in other.get_weights()])
    with pytest.raises(ValueError, match="weights_sha256 is"):
        record_traces(other, x, batch_size=10, store=store, client=client)
    with pytest.raises(ValueError, match="doesn't begin with the 20 samples"):
        record_traces(model, x[::-1].copy(), batch_size=10, store=store, client=client)


@pytest.mark.parametrize(
    ("last", "edit", "kind"),
    [
        (5, None, ValueError),
        (6, {"set": np.where(np.arange(70) == 65, np.nan, 1)[:, None, None]}, TraceError),
    ],
    ids=["another length", "a value that is NaN"],
)
def test_an_error_of_a_worker_is_that_of_this_process(last, edit, kind, client, x, tmp_path):
    layers = [keras.Input((None, 4)), LSTM(5, return_sequences=True, name="low")]
    model = shake(keras.Sequential(layers), np.random.default_rng(1))
    told = []
    for one in (None, client):
        options = {"store": tmp_path / "states.zarr", "client": one, "batch_size": 10}
        given = x
        if edit:
            options["edits"] = [Edit("low", "cell", **edit)]
        else:
            given = iter([x[:10], x[10:20], x[20:30, :last]])
            del options["batch_size"]
        with pytest.raises(kind) as error:
            record_traces(model, given, **options)
        told.append(str(error.value))
        with pytest.raises(IncompleteTracesError, match=r"first [26]0 samples"):
            open_traces(options["store"])
        subprocess.run(["rm", "-r", options["store"]], check=True)
    assert told[0] == told[1]


def test_what_can_t_be_shared_is_refused(client, model, x, tmp_path):
    def refused(match, model=model, x=x, **options):
        options = {"store": tmp_path / f"{model.name}.zarr", "client": client} | options
        with pytest.raises(ValueError, match=match):
            record_traces(model, x, **options)

    refused("client requires store", store=None)
    refused("it must be a distributed.Client", client="127.0.0.1:8786")
    refused("all workers must reach it", store="memory://tests/shared")
    refused("fill whole chunks", x=np.repeat(x, 2, 0), batch_size=100)
    double = Edit("low", "cell", function=lambda values: 2 * values)
    refused(r"Edit\('low', 'cell'\) has a function", edits=[double])
    live = keras.Sequential([keras.Input((6, 4), batch_size=10), LSTM(3, stateful=True)])
    refused("it is stateful", model=live)

    class Local(Doubled):
        pass

    inside = keras.Sequential([keras.Input((6, 4)), Local(), LSTM(3)])
    refused("has a .*Local of .*test_shared, which workers can't import", model=inside)
    plain = keras.layers.Lambda(lambda values: values + 1, name="plus")
    code = keras.Sequential([keras.Input((6, 4)), plain, LSTM(3)], name="code")
    refused("model 'code' can't be made again by workers: .*Lambda", model=code, batch_size=10)
    folded = keras.Sequential([keras.Input((6, 4)), Fold(), LSTM(3), Unfold()], name="folded")
    refused("receive other rows", model=folded, batch_size=10)
    noisy = keras.Sequential([keras.Input((6, 4)), Noise(), LSTM(3)])
    refused("moves seeds", model=noisy, batch_size=10)


@keras.saving.register_keras_serializable("tests")
class Noise(keras.layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x), seed=self.seeds)


class Fold(keras.layers.Layer):
    def call(self, x):
        return keras.ops.reshape(x, (-1, 3, 4))


class Unfold(keras.layers.Layer):
    def call(self, x):
        return keras.ops.reshape(x, (-1, 2, 3))


def test_workers_import_the_classes_of_a_model(client, x, tmp_path):
    layers = [keras.Input((6, 4)), Doubled(), LSTM(3, name="low")]
    model = keras.Sequential(layers)
    stores = [tmp_path / name for name in ("alone.zarr", "shared.zarr")]
    for store, one in zip(stores, (None, client), strict=True):
        record_traces(model, x[:20], batch_size=10, store=store, client=one)
    assert contents(stores[0]) == contents(stores[1])


def test_a_worker_that_gets_other_bits_takes_no_part(client, x, tmp_path):
    """What its config doesn't hold, such as a function put into a layer, a worker doesn't have."""
    layers = [keras.Input((6, 4)), keras.layers.Dense(4, name="below"), LSTM(3)]
    model = keras.Sequential(layers, name="changed")
    own = model.layers[0].call
    model.layers[0].call = lambda values, **options: own(values, **options) + 1
    with pytest.raises(ValueError, match="config of model 'changed' doesn't hold all"):
        record_traces(model, x, batch_size=10, store=tmp_path / "states.zarr", client=client)


def test_a_lost_worker_loses_nothing(client, model, x, whole, tmp_path):
    victim = next(iter(client.run(os.getpid).values()))

    def batches():
        for number, batch in enumerate(in_batches(x, 10)):
            if number == 4:
                os.kill(victim, signal.SIGKILL)
            yield batch

    record_traces(model, batches(), store=tmp_path / "states.zarr", client=client)
    assert contents(tmp_path / "states.zarr") == contents(whole)


CLIENT = """
    import os, signal, sys
    import numpy as np
    from distributed import Client
    from lstm_states import record_traces
    from tests.lstm_states.traces.test_shared import build_model

    x = np.load(sys.argv[2])

    def batches():
        for start in range(0, len(x), 10):
            if start == 60:
                os.kill(int(sys.argv[4]) or os.getpid(), signal.SIGKILL)
            yield x[start : start + 10]

    with Client(scheduler_file=sys.argv[1], timeout=60) as client:
        try:
            record_traces(build_model(), batches(), store=sys.argv[3], client=client)
        except ConnectionError as error:
            print(error)
"""


def run_client(place, x, store, victim=0):
    np.save(store.with_suffix(".npy"), x)
    arguments = [place, store.with_suffix(".npy"), store, victim]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CLIENT), *map(str, arguments)],
        env={**os.environ, "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s"},
        stdout=subprocess.PIPE, encoding="utf-8", check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_killed_process_loses_no_counted_batch(client, model, x, whole, tmp_path):
    store = tmp_path / "states.zarr"
    done = run_client(client.scheduler_file, x, store)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(IncompleteTracesError, match=r"first [1-6]0 samples"):
        open_traces(store)
    record_traces(model, x, batch_size=10, store=store, client=client)
    assert contents(store) == contents(whole)


@pytest.mark.slow
def test_a_lost_scheduler_is_named_and_nothing_is_lost(model, x, whole, tmp_path):
    place = tmp_path / "scheduler.json"
    with cluster(place, "--no-nanny") as scheduler:
        done = run_client(place, x, tmp_path / "states.zarr", victim=scheduler.pid)
    assert "the Dask scheduler, or the client's connection to it, is lost" in done.stdout
    record_traces(model, x, batch_size=10, store=tmp_path / "states.zarr")
    assert contents(tmp_path / "states.zarr") == contents(whole)
