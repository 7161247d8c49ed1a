"""Parameters are held against the data before a notebook starts."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from experiments.data.prepare import prepare_dataset
from experiments.data.schema import DataError
from experiments.data.table import Table
from experiments.forecasting.preflight import check_data
from notebook_pipeline.errors import ConfigError
from notebook_pipeline.parameters.file import load_parameters
from tests.repository import ROOT

ROWS = 400
CLASSES = {"loss": "sparse_categorical_crossentropy", "head_activation": "softmax"}
BINARY = {"loss": "binary_crossentropy", "head_activation": "sigmoid", "head_units": 1}


@pytest.fixture
def check(tmp_path):
    """Check `stacked` or another configuration on made data, some parameters changed."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(ROWS, 2)), columns=["a", "y"])
    table["t"], table["who"], table["bit"] = range(ROWS), np.arange(ROWS) // 10, [0, 1] * 200
    table["third"] = np.arange(ROWS) // 10 % 3
    table.to_csv(tmp_path / "mine.csv", index=False)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))

    def check_changed(name="stacked", target="y", series=None, trials=(), **changes):
        mine = {"maker": "table", "source": "mine.csv", "time": "t", "features": ["a"],
                "target": target, "series": series, "horizon": 0 if series else 2}  # fmt: skip
        params["datasets"]["mine"] = mine
        changed = {"dataset": "mine", "target": target, "trace_samples": 8}
        params[name] |= changed | changes
        params["depth"]["samples"] = params["how_states_flow"]["samples"] = 8
        params["memory"]["samples"] = params["carrying_state"]["samples"] = 8
        for trial, values in dict(trials).items():
            params[trial] |= values
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        prepare_dataset("mine", Table(**mine), tmp_path)
        check_data(name, getattr(load_parameters(tmp_path), name), tmp_path)

    return check_changed


def test_what_fits_is_taken(check):
    check(window=20)
    check("variable_length", "third", "who", head_units=3, **CLASSES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 60}, "the validation part holds no sample; change the fractions or the window"),
        ({"window": 401}, "window is 401, but mine.zarr has 398 rows"),
        (
            {"window": 20, "trace_samples": 101},
            "stacked.trace_samples is 101; .* 100 at most",
        ),
        (
            {"window": 20, "trials": {"depth": {"samples": 101}}},
            "depth.samples is 101; .* 100 at most",
        ),
        ({"window": 20, **BINARY}, "stacked.loss is 'binary_crossentropy', .* y holds"),
        ({"window": 20, "target": "third", **BINARY}, "head_units is 1; third has 3 classes"),
    ],
)
def test_what_does_not_fit_windows_is_refused(check, changes, message):
    with pytest.raises((ConfigError, DataError), match=message):
        check(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"target": "third", "head_units": 2},
            "variable_length.head_units is 2; third has 3 class",
        ),
        ({"target": "y", "head_units": 3}, "variable_length.loss is 'sparse_.* y holds"),
        (
            {"target": "third", "head_units": 3, "trials": {"masking": {"samples": 13}}},
            "masking.samples is 13; it may be 12 at most, what the test part of variable_length",
        ),
    ],
)
def test_what_does_not_fit_sequences_is_refused(check, changes, message):
    with pytest.raises(ConfigError, match=message):
        check("variable_length", series="who", **CLASSES, **changes)
