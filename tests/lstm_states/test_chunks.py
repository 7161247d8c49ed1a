"""Measures of traces that are larger than memory: the same numbers, some samples at a time."""

import re
import subprocess
import sys
import textwrap
import tracemalloc

import dask
import keras
import numpy as np
import pytest
import xarray as xr

from lstm_states import (
    check_traces,
    final_states,
    find_fixed_points,
    find_idle_units,
    join_traces,
    measure_distances,
    measure_half_lives,
    measure_memory,
    measure_norms,
    measure_principal_directions,
    measure_saturation,
    measure_states,
    measure_time_scales,
    open_traces,
    probe_states,
    record_traces,
    write_traces,
)
from tests.conftest import shake

LSTM, GRU = keras.layers.LSTM, keras.layers.GRU


@pytest.fixture(scope="module")
def model():
    layers = [
        keras.Input((9, 4)),
        keras.layers.Masking(),
        LSTM(6, return_sequences=True, name="low"),
        keras.layers.Bidirectional(GRU(5, return_sequences=True), name="both"),
        keras.layers.SimpleRNN(3, name="top"),
    ]
    return shake(keras.Sequential(layers), np.random.default_rng(1))


@pytest.fixture(scope="module")
def place(model, tmp_path_factory):
    x = np.random.default_rng(2).normal(size=(200, 9, 4)).astype("float32")
    x[5, 3:] = x[8, :4] = x[64:128] = 0  # all of one chunk is masked
    place = tmp_path_factory.mktemp("chunks") / "states.zarr"
    record_traces(model, x, store=place)
    return place


def turned(traces):
    """Another run of the same samples: here, of the samples in the other order."""
    nodes = {node.path: node.to_dataset(inherit=False) for node in traces.subtree}
    nodes = {
        p: n.isel(sample=slice(None, None, -1), missing_dims="ignore") for p, n in nodes.items()
    }
    nodes["/"] = nodes["/"].assign_coords(traces.coords)
    return xr.DataTree.from_dict(nodes)


MEASURES = {
    "states": measure_states,
    "saturation": measure_saturation,
    "norms": measure_norms,
    "half lives": measure_half_lives,
    "check": check_traces,
    "idle": lambda t: find_idle_units(t, correlated=0.3),
    "directions": lambda t: measure_principal_directions(t, "both/forward"),
    "memory": lambda t: measure_memory(t, "both/backward", time=[0, 3], window=4),
    "distances": lambda t: measure_distances(t, turned(t)),
    "time scales": lambda t: measure_time_scales(
        measure_distances(t, turned(t), layers="low"), time=2
    ),
}

ONE_LAYER = {
    **MEASURES,
    "directions": lambda t: measure_principal_directions(t, "low"),
    "memory": lambda t: measure_memory(t, "low", time=[0, 3], window=4),
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_of_chunks_is_that_of_all(name, place):
    expected = MEASURES[name](open_traces(place).load())
    found = MEASURES[name](open_traces(place, chunks={"sample": 64}))
    assert bool(found.chunks) == (name in ("distances", "directions", "memory"))  # lazy results
    assert set(found.variables) == set(expected.variables)
    for key, values in expected.variables.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[key], values, rtol=1e-6, atol=1e-9)
        else:
            np.testing.assert_array_equal(found[key], values)


def test_trees_of_chunks_are_joined_written_and_continued(model, place, tmp_path):
    chunked, loaded = open_traces(place, chunks="auto"), open_traces(place).load()
    assert join_traces([chunked]).chunksizes
    write_traces(chunked, tmp_path / "again.zarr")
    assert open_traces(tmp_path / "again.zarr").load().identical(loaded)
    for one, other in zip(final_states(chunked)["low"], final_states(loaded)["low"], strict=True):
        np.testing.assert_array_equal(one, other)
    points = [find_fixed_points(model, "top", tree, most=9) for tree in (chunked, loaded)]
    xr.testing.assert_identical(*points)


def test_few_states_and_those_that_are_no_numbers_are_refused_alike(place):
    chunked = open_traces(place, chunks={"sample": 64})
    with pytest.raises(ValueError, match="layer 'low' has 0 real steps; a variance needs two"):
        find_idle_units(chunked.isel(sample=slice(64, 128)))
    node = chunked["low"].to_dataset()
    lost = xr.DataTree.from_dict({"low": node.assign(hidden=node["hidden"] * np.nan)})
    with pytest.raises(ValueError, match="'low' holds NaN or infinity at real steps"):
        measure_principal_directions(lost, "low")
    with pytest.raises(ValueError, match="a probe needs all states at once: choose samples"):
        probe_states(chunked, numbers=np.arange(200))


def test_chunks_are_whole_chunks_of_the_store(place):
    assert open_traces(place)["low/hidden"].chunks is None
    assert open_traces(place, chunks="auto")["low/hidden"].chunks[0] == (200,)
    assert open_traces(place, chunks={"sample": 64})["top/mask"].chunks[0] == (64, 64, 64, 8)


@pytest.mark.parametrize(
    "wrong",
    [64, {"unit": 2}, {"sample": 0}, {"sample": 1.5}, {"sample": True}, {}, "all", np.arange(2)],
    ids=str,
)
def test_wrong_chunks_are_named_before_the_path_is_touched(wrong):
    told = f"chunks is {wrong!r}; it must be None, 'auto', or sizes, whole numbers above 0, along"
    with pytest.raises(ValueError, match=re.escape(told)):
        open_traces("none://states.zarr", chunks=wrong)


def test_a_unit_that_moves_by_rounding_alone_has_variance_0_in_chunks():
    rng = np.random.default_rng(0)
    hidden = np.full((300, 7, 3), 0.1, "float32")
    hidden[1::2, :, 0] = np.nextafter(hidden[0, 0, 0], 1, dtype="float32")
    hidden[..., 1] += rng.normal(size=(300, 7))
    hidden[..., 2] = 1 + hidden[..., 1] * 2
    node = xr.Dataset(
        {
            "hidden": (("sample", "time", "unit"), hidden),
            "mask": (("sample", "time"), np.ones((300, 7), bool)),
        },
        attrs={"cell": "SimpleRNN"},
    )
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"layers": ["one"]}), "one": node})
    idle = find_idle_units(tree.chunk(sample=64))
    assert idle["variance"][0].values.tolist()[0] == 0
    assert idle["dead"].values.tolist() == [[True, False, False]]
    assert [int(idle[name][0]) for name in ("pair_unit", "pair_other")] == [1, 2]
    main = measure_principal_directions(tree.chunk(sample=64), "one")
    assert float(main["mean"][0]) == np.float32(0.1)


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """1,600 samples; a quantity has 20 MB, a chunk of it 0.8 MB."""
    model = keras.Sequential([keras.Input((50, 4)), LSTM(64, return_sequences=True, name="low")])
    x = np.random.default_rng(0).normal(size=(1600, 50, 4)).astype("float32")
    store = tmp_path_factory.mktemp("long") / "states.zarr"
    record_traces(model, x, store=store, batch_size=64, outputs=False)
    return store


@pytest.mark.parametrize("name", ONE_LAYER)
def test_no_measure_loads_a_layer(name, long):
    """It may hold all quantities of a chunk, and arrays of that size in double precision."""
    traces, measure = open_traces(long, chunks={"sample": 64}), ONE_LAYER[name]
    measure(traces.isel(sample=slice(64)))  # imports
    with dask.config.set(scheduler="synchronous"):
        tracemalloc.start()
        for values in measure(traces).values():
            values.max().compute()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 40 * 64 * 50 * 64 * 4  # 40 chunks of a quantity; the layer has 150


def test_the_library_imports_dask_only_when_it_is_asked_to():
    program = """
        import sys
        import lstm_states
        for name in lstm_states.__all__:
            getattr(lstm_states, name)
        print(sorted({"dask", "distributed"} & sys.modules.keys()))
        import keras, numpy
        model = keras.Sequential([keras.Input((2, 1)), keras.layers.LSTM(1)])
        lstm_states.record_traces(model, numpy.zeros((1, 2, 1)))
        print("dask.array" in sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    printed = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout
    assert printed == "[]\nFalse\n"
