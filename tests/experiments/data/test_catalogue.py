"""Kinds of data sets: what their class must say of itself, and what they make."""

from pathlib import Path
from typing import Literal

import pytest
import xarray as xr

from experiments.data import catalogue
from experiments.data.catalogue import DataSet, register
from experiments.data.prepare import prepare_dataset
from experiments.data.schema import DataError
from notebook_pipeline.errors import ConfigError


def kind(name, maker, module="experiments.data.waves"):
    """A class of a module of experiments.data."""
    return type(name, (DataSet,), {"__module__": module, "__annotations__": {"maker": maker}})


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    monkeypatch.setattr(catalogue, "_KINDS", {})
    return catalogue._KINDS


def test_a_kind_has_the_name_of_its_module(kinds):
    waves = register(kind("Waves", Literal["waves"]))
    assert kinds == {"waves": waves}


@pytest.mark.parametrize(
    ("maker", "named"),
    [
        (Literal["wave"], "'wave'"),
        (Literal["waves", "sines"], "'waves' or 'sines'"),
        (str, "not a Literal"),
    ],
)
def test_another_name_is_refused_with_both(kinds, maker, named):
    with pytest.raises(ConfigError) as error:
        register(kind("Waves", maker))
    assert str(error.value) == (
        f"experiments.data.waves: the maker of Waves is {named}; it must be the name of the "
        "module, Literal['waves']"
    )
    assert kinds == {}


def test_a_second_kind_of_the_name_is_refused(kinds):
    waves = register(kind("Waves", Literal["waves"]))
    with pytest.raises(ConfigError, match="Waves and Sines have the maker 'waves'; a module"):
        register(kind("Sines", Literal["waves"]))
    assert kinds == {"waves": waves}


def test_what_breaks_the_layout_is_refused_before_it_is_written(tmp_path):
    class Empty(DataSet):
        def make(self, raw: Path, root: Path) -> xr.Dataset:
            return xr.Dataset()

    with pytest.raises(DataError, match="layout"):
        prepare_dataset("empty", Empty(maker="empty", source="none"), tmp_path)
    assert not (tmp_path / "data").exists()
