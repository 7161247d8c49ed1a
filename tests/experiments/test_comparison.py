"""`lstm-states compare`: the distance of recorded states, and the page of docs that tells of it."""

import json
import re

import click
import numpy as np
import pytest
import xarray as xr

from experiments.distances import measure_states
from experiments.project import PROJECT
from lstm_states import open_traces, write_traces
from notebook_pipeline.commands import compare
from tests.repository import ROOT

MADE = {"parameters": {"stacked": {"window": 3, "center": True, "trace_samples": 2}}}
DATA = {"data/processed/order_book.zarr": "1"}


def layer(values, mask=None):
    """What a store holds of a layer with these hidden states, and twice them as cell states."""
    values = np.asarray(values, np.float32)
    mask = np.ones(values.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    dims = ("sample", "time", "unit")
    return xr.Dataset(
        {"hidden": (dims, values), "cell": (dims, 2 * values), "mask": (dims[:2], mask)},
        attrs={"cell": "LSTM", "go_backwards": 0},
    )


def report(folder, made=MADE, data=DATA, **layers):
    """A folder with states, and with a report that says what it was made from."""
    folder.mkdir()
    tree = xr.DataTree.from_dict({f"/{name}": one for name, one in layers.items()})
    tree.attrs["layers"] = list(layers)
    write_traces(tree, folder / "states.zarr")
    notebook = {"metadata": {"made_from": {**made, "data": data}}}
    (folder / "report.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return folder


ONE = [[[3, 4], [0, 0], [1, 1]], [[2, 0], [0, 1], [7, 7]]]
OTHER = [[[3, 0], [1, 0], [2, 2]], [[-2, 0], [0, 1], [9, 9]]]
REAL = [[1, 1, 1], [1, 1, 0]]


def test_distances_are_those_by_hand(tmp_path):
    a = report(tmp_path / "a", low=layer(ONE, REAL), top=layer(ONE, REAL))
    b = report(tmp_path / "b", low=layer(OTHER, REAL), top=layer(ONE, REAL))
    table = measure_states(a, b)
    assert table[["layer", "states"]].values.tolist() == [
        ["low", "hidden"], ["low", "cell"], ["top", "hidden"], ["top", "cell"],
    ]  # fmt: skip
    # Real steps: 4/5, no length, 1; 2, 0. Cosines: 3/5, none, 1; -1, 1.
    expected = [(0.8 + 1 + 2 + 0) / 4, 2, (0.4 + 0 + 2 + 0) / 4, 2]
    np.testing.assert_allclose(table.iloc[:2, 2:], [expected] * 2, atol=1e-7)
    np.testing.assert_allclose(table.iloc[2:, 2:], 0, atol=1e-7)
    assert "other inputs" not in table.attrs["says"]


def test_a_layer_without_a_cell_state(tmp_path):
    gru = layer(ONE).drop_vars("cell")
    folders = [report(tmp_path / name, gru=gru) for name in "ab"]
    assert measure_states(*folders)["states"].tolist() == ["hidden"]


def changed(**values):
    return {"parameters": {"stacked": {**MADE["parameters"]["stacked"], **values}}}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"made": changed(window=5)}, "other samples: window is 3 beside 5"),
        ({"made": changed(trace_samples=4)}, "other samples: trace_samples is 2 beside 4"),
        ({"data": {"data/processed/order_book.zarr": "2"}}, "order_book.zarr is 1 beside 2"),
        (
            {"low": layer(ONE, REAL), "top": layer(ONE)},
            r"the layers \['low'\] beside \['low', 'top",
        ),
        ({"low": layer([one[:2] for one in ONE])}, "'low' has .*'time': 3"),
    ],
)
def test_what_was_recorded_of_other_things_is_not_measured(tmp_path, given, told):
    a = report(tmp_path / "a", low=layer(ONE, REAL))
    b = report(tmp_path / "b", **({"low": layer(OTHER, REAL)} | given))
    with pytest.raises(ValueError, match=told):
        measure_states(a, b)


def test_other_inputs_of_the_same_samples_are_told(tmp_path):
    a = report(tmp_path / "a", low=layer(ONE))
    b = report(tmp_path / "b", changed(center=False), low=layer(OTHER))
    assert measure_states(a, b).attrs["says"].endswith("inputs: center is True beside False.")


def test_the_project_measures_the_states_that_its_stages_record(tmp_path):
    assert list(PROJECT.distances) == ["states.zarr"]
    a = report(tmp_path / "a", low=layer(ONE))
    assert PROJECT.distances["states.zarr"](a, a)["relative, largest"].tolist() == [0, 0]
    assert open_traces(a / "states.zarr").attrs["layers"] == ["low"]


def test_the_page_names_the_commands_as_they_are():
    text = (ROOT / "docs/compare.md").read_text(encoding="utf-8")
    calls = re.findall(r"^    lstm-states compare *([^#\n]*)", text, re.MULTILINE)
    assert len(calls) == 6
    for call in calls:
        with click.Context(compare) as context:
            compare.parse_args(context, call.split())
            assert context.params["runs"] or not call.split()
