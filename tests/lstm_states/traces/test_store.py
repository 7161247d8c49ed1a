import errno
import itertools
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Lock

import fsspec
import keras
import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.storage import _local as local

from lstm_states import open_traces, record_traces, write_traces
from lstm_states.store.store import IncompleteTracesError
from lstm_states.store.writer import TraceWriter, datasets_of
from tests.conftest import shake
from tests.lstm_states.traces.batches import ATTRS, RECORDING, batch, batches, whole, write
from tests.repository import ROOT

CHILD = Path(__file__).with_name("batches.py")


def start(*arguments, prefix=()):
    """Run ``batches.py`` as a process of its own."""
    command = [*prefix, sys.executable, "-u", str(CHILD), *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        cwd=ROOT,
    )


def files(store):
    return {p.relative_to(store): p.read_bytes() for p in Path(store).rglob("*") if p.is_file()}


def each(tree, change, only=""):
    """Return ``tree`` with every node changed, or one of them only."""
    nodes = {node.path: node.to_dataset() for node in tree.subtree}
    return xr.DataTree.from_dict({p: change(n) if only in p else n for p, n in nodes.items()})


def half(store):
    """Leave 9 samples of an unfinished recording at ``store``."""
    writer = TraceWriter(store, recording=RECORDING)
    for part in batches([5, 4]):
        writer.append(datasets_of(part), {"before": writer.recorded})
    return writer


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


def test_equal_traces_make_equal_bytes(tmp_path):
    traces = whole([130])
    write_traces(traces, tmp_path / "one")
    write_traces(open_traces(tmp_path / "one"), tmp_path / "two")
    write(tmp_path / "three", [64, 64, 2])
    assert len(files(tmp_path / "one")) > 50
    assert files(tmp_path / "one") == files(tmp_path / "two") == files(tmp_path / "three")


def test_how_traces_were_stored_before_does_not_matter(tmp_path):
    for chunk in (2, 5):
        labels = xr.Variable("sample", np.arange(9), encoding={"chunks": (chunk,)})
        labelled = each(whole([9]), lambda n, v=labels: n.assign_coords(label=v), only="encoder/l")
        write_traces(labelled, tmp_path / str(chunk))
    assert files(tmp_path / "2") == files(tmp_path / "5")


@pytest.mark.parametrize("sizes", [[1], [3, 1, 2], [100, 100, 7], [64, 30, 64], [20, 200]])
def test_batches_of_any_size_are_read_as_one(tmp_path, sizes):
    write(tmp_path / "s", sizes)
    stored = open_traces(tmp_path / "s")
    xr.testing.assert_identical(stored.load(), whole(sizes))
    assert list(stored.children) == ["lstm", "shared", "encoder"]
    chunks = zarr.open_array(tmp_path / "s/encoder/lstm/hidden").chunks
    assert chunks == (min(64, sizes[0]), 6, 3)


@pytest.mark.parametrize("address", ["memory://traces/run", "file://{}/run", "{}/run"])
def test_any_address_is_a_store(tmp_path, address):
    address = address.format(tmp_path)
    half(address)
    with pytest.raises(IncompleteTracesError, match="first 9 samples"):
        open_traces(address)
    write(address, [5, 4, 3])
    xr.testing.assert_identical(open_traces(address).load(), whole([5, 4, 3]))
    with pytest.raises(FileExistsError, match=r"run exists; remove it"):
        write_traces(whole([2]), address)
    fsspec.url_to_fs(address)[0].rm(fsspec.url_to_fs(address)[1], recursive=True)
    with pytest.raises(FileNotFoundError, match=r"no traces at .*run"):
        open_traces(address)


def test_values_are_read_when_they_are_used(tmp_path):
    write(tmp_path / "s", [70])
    stored = open_traces(tmp_path / "s")
    (tmp_path / "s/lstm/cell/c/1/0/0").unlink()
    assert not stored["lstm/cell"].isel(sample=3).isnull().any()
    assert stored["lstm/cell"].isel(sample=69).isnull().all()


def test_coordinates_are_written_once(tmp_path):
    def part(start, stop):
        tree = each(batch(start, stop), lambda n: n.isel(time=[1, 5], missing_dims="ignore"))
        nodes = {node.path: node.to_dataset() for node in tree.subtree}
        nodes["/"] = nodes["/"].assign_coords(time=[1, 5])
        own = {"unit": [7, 8, 9], "half": ("sample", np.arange(start, stop))}
        return xr.DataTree.from_dict({**nodes, "/lstm": nodes["/lstm"].assign_coords(own)})

    writer = TraceWriter(tmp_path / "s", recording=RECORDING)
    writer.append(datasets_of(part(0, 3)), {})
    written = (tmp_path / "s/time/c/0").stat().st_mtime_ns
    writer.append(datasets_of(part(3, 70)), {})
    writer.finish({**ATTRS, "seed": np.int64(3)})
    expected = part(0, 70)
    expected.attrs["seed"] = 3
    xr.testing.assert_identical(open_traces(tmp_path / "s").load(), expected)
    assert (tmp_path / "s/time/c/0").stat().st_mtime_ns == written


def test_one_sample_alone_can_be_written(tmp_path):
    one = each(batch(0, 4), lambda node: node.isel(sample=2, missing_dims="ignore"))
    write_traces(one, tmp_path / "s")
    xr.testing.assert_identical(open_traces(tmp_path / "s").load(), one)


def test_traces_without_their_layers_are_refused(tmp_path):
    traces = whole([4])
    for bad in (None, ["lstm", "other"]):
        traces.attrs["layers"] = bad
        with pytest.raises(
            ValueError, match=r"attrs\['layers'\] is .*; it must .* \['lstm', 'shared', 'encoder'"
        ):
            write_traces(traces, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_what_is_no_store_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    zarr.create_array(tmp_path / "array", shape=(3,), dtype="f4")
    for name in ("folder", "file", "array"):
        with pytest.raises(FileNotFoundError, match=f"no traces at .*{name}"):
            open_traces(tmp_path / name)
        with pytest.raises(FileExistsError, match=f"{name} exists"):
            TraceWriter(tmp_path / name, recording={})
    with pytest.raises(FileNotFoundError, match=r"no traces at .*nowhere"):
        open_traces(tmp_path / "nowhere")
    TraceWriter(tmp_path / "nowhere", recording={})
    assert not (tmp_path / "nowhere").exists()
    assert (tmp_path / "folder/notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_half_written_store_is_resumed(tmp_path):
    half(tmp_path / "s")
    with pytest.raises(IncompleteTracesError, match=r"first 9 samples .* record_traces to resume"):
        open_traces(tmp_path / "s")
    with pytest.raises(FileExistsError, match="exists"):
        write_traces(whole([2]), tmp_path / "s")
    zarr.open_array(tmp_path / "s/lstm/cell", mode="r+").resize((30, 6, 3))
    writer = TraceWriter(tmp_path / "s", recording=RECORDING)
    assert (writer.recorded, writer.progress) == (9, {"before": 5})
    writer.finish(ATTRS)
    xr.testing.assert_identical(open_traces(tmp_path / "s").load(), whole([5, 4]))


def test_another_recording_is_not_resumed(tmp_path):
    half(tmp_path / "s")
    other = {"weights": "bb", "layers": ("lstm",), "time": np.int64(3)}
    with pytest.raises(ValueError, match=r"weights is 'aa' there, not 'bb'; time is None") as error:
        TraceWriter(tmp_path / "s", recording=other)
    assert "layers is" not in str(error.value)


def test_a_store_without_samples_is_not_finished(tmp_path):
    with pytest.raises(ValueError, match="append a batch"):
        TraceWriter(tmp_path / "s", recording={}).finish(ATTRS)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda n: n.isel(time=slice(4)),
            r"layer 'encoder/lstm': 'mask' has time 4 in the batch and time 6 in .*s; they",
        ),
        (
            lambda n: n.assign(cell=n.cell * 2.0 ** np.float64(1)),
            "'cell' has dtype float64 .* float32",
        ),
        (lambda n: n.transpose("sample", "unit", "time"), r"has dims \('sample', 'unit', 'time'\)"),
        (lambda n: n.drop_vars("hidden"), "'encoder/lstm/hidden' is in the store and not in the b"),
        (lambda n: n.assign(more=n.mask), "'encoder/lstm/more' is in the batch and not in the sto"),
    ],
)
def test_a_batch_that_does_not_fit_changes_nothing(tmp_path, change, message):
    writer = half(tmp_path / "s")
    before = files(tmp_path / "s")
    part = batch(9, 12)
    with pytest.raises(ValueError, match=message):
        writer.append(datasets_of(each(part, change, only="encoder/lstm")), {})
    with pytest.raises(TypeError, match=r"<object .* can't be stored"):
        writer.append(datasets_of(part), {"not JSON": object()})
    with pytest.raises(ValueError, match=r"the nodes hold \[0\] samples"):
        writer.append(
            datasets_of(each(part, lambda n: n.isel(sample=slice(0), missing_dims="ignore"))), {}
        )
    assert files(tmp_path / "s") == before
    writer.append(datasets_of(part), {})
    writer.finish(ATTRS)
    xr.testing.assert_identical(open_traces(tmp_path / "s").load(), whole([5, 4, 3]))


@pytest.mark.parametrize("count", range(0, 140, 14))
def test_a_stop_at_any_file_loses_nothing(tmp_path, monkeypatch, count):
    write(tmp_path / "whole", [20, 35])
    with monkeypatch.context() as patch:
        stop_at(patch, count)
        with pytest.raises(InterruptedError):
            write(tmp_path / "s", [20, 30, 5])
    with pytest.raises((IncompleteTracesError, FileNotFoundError)):
        open_traces(tmp_path / "s")
    write(tmp_path / "s", [20, 7, 20, 8])
    assert files(tmp_path / "s") == files(tmp_path / "whole")


def stop_at(patch, count):
    """Leave a piece of file ``count`` that Zarr writes, and nothing after it."""
    original, files = local._put, itertools.count()
    one_at_a_time = Lock()  # a killed process has no thread that still writes

    def put(path, *arguments, **options):
        with one_at_a_time:
            number = next(files)
            if number < count:
                return original(path, *arguments, **options)
            if number == count:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.with_suffix(".0.partial").write_bytes(b"a piece of")
            raise InterruptedError

    patch.setattr(local, "_put", put)


@pytest.mark.parametrize(
    ("kills", "longest"), [(4, 0.0), pytest.param(8, 0.1, marks=pytest.mark.nightly)]
)
def test_killed_again_and_again(tmp_path, kills, longest):
    """At once, or after one, two or three more batches; nightly a random moment later."""
    sizes = [40] * 30
    write(tmp_path / "whole", sizes)
    recorded, moments = 0, random.Random(0)
    for kill in range(kills):
        with start("write", tmp_path / "s", *sizes) as process:
            assert process.stdout.readline() == f"resumed at {recorded}\n"
            for _ in range(kill % 4):
                process.stdout.readline()
            time.sleep(moments.uniform(0, longest))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        with pytest.raises((IncompleteTracesError, FileNotFoundError)):
            open_traces(tmp_path / "s")
        recorded = TraceWriter(tmp_path / "s", recording=RECORDING).recorded
    write(tmp_path / "s", sizes)
    assert files(tmp_path / "s") == files(tmp_path / "whole")


def test_a_full_disk_is_named_and_the_recording_goes_on(tmp_path):
    """The disk is a file system of 700 kB, made in a user namespace."""
    space = ["unshare", "--user", "--map-root-user", "--mount"]
    probe = (
        [*space, "mount", "-t", "tmpfs", "none", str(tmp_path)] if shutil.which(space[0]) else []
    )
    if not probe or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    with start("fill", tmp_path, prefix=space) as process:
        first, error, again, last = process.stdout.read().splitlines()
    assert first == "resumed at 0"
    recorded = again.removeprefix("resumed at ")
    assert 0 < int(recorded) < 2000
    assert error.startswith(f"errno {errno.ENOSPC}: ")
    assert f"No space left on device: {recorded} samples are safe in {tmp_path}/states" in error
    assert last == "identical"


@pytest.mark.parametrize("recorded", [0, 9])
def test_a_limit_on_files_is_as_a_full_disk(tmp_path, recorded):
    writer = half(tmp_path / "s") if recorded else TraceWriter(tmp_path / "s", recording=RECORDING)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))
    try:
        with pytest.raises(OSError, match=f"File too large: {recorded} samples are safe") as error:
            writer.append(datasets_of(batch(recorded, 40)), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.errno == errno.ENOSPC
    for again in (writer, TraceWriter(tmp_path / "s", recording=RECORDING)):
        assert again.recorded == recorded
    writer.append(datasets_of(batch(recorded, 20)), {})
    writer.finish(ATTRS)
    xr.testing.assert_identical(open_traces(tmp_path / "s").load(), whole([20]))


def test_what_fails_before_the_first_write_leaves_nothing(tmp_path):
    """Nodes that make no tree: their steps have other labels than those of the root."""
    nodes = {
        "/": xr.Dataset({"mask": (("sample", "time"), np.ones((2, 2), bool))}, {"time": [5, 6]}),
        "/lstm": xr.Dataset({"cell": (("sample", "time"), np.ones((2, 2)))}, {"time": [2, 3]}),
    }
    with pytest.raises(ValueError, match="not aligned"):
        TraceWriter(tmp_path / "states.zarr", recording=RECORDING).append(nodes, {})
    assert not list(tmp_path.iterdir())
