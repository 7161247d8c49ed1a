"""A file of arrays is whole or not there, whatever cuts its writing short."""

import os
from pathlib import Path

import numpy as np
import pytest

from lstm_states.arrays import write_arrays

FIRST, SECOND = {"low/0": np.arange(6.0)}, {"low/0": np.zeros(3), "low/1": np.ones(2)}


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_it_is_replaced(tmp_path):
    path = tmp_path / "states.npz"
    for arrays in (FIRST, SECOND):
        write_arrays(path, arrays)
        with np.load(path, allow_pickle=False) as file:
            np.testing.assert_equal(dict(file), arrays)
    assert names(tmp_path) == ["states.npz"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_writing_that_breaks_off_leaves_the_older_file_and_nothing_else(
    tmp_path, monkeypatch, error
):
    path = tmp_path / "states.npz"
    write_arrays(path, FIRST)
    whole = path.read_bytes()

    def break_off(file, **_):
        file.write(whole[:40])
        raise error

    monkeypatch.setattr(np, "savez", break_off)
    with pytest.raises(error):
        write_arrays(path, SECOND)
    assert path.read_bytes() == whole
    assert names(tmp_path) == ["states.npz"]


def test_what_pickle_alone_could_write_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        write_arrays(tmp_path / "states.npz", {"low/0": np.array([{}], object)})
    assert names(tmp_path) == []


def test_it_takes_its_name_when_all_of_it_is_on_disk(tmp_path, monkeypatch):
    path, done = tmp_path / "states.npz", []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor):
        done.append(("on disk", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def named(self, target):
        done.append(("named", self.stat().st_size))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", named)
    write_arrays(path, FIRST)
    assert done == [("on disk", path.stat().st_size), ("named", path.stat().st_size)]
