"""A test that leaves the process changed fails."""

import contextlib
import logging
import os
import sys

import mlflow
import pytest

from tests.leaks import nothing_leaks, own_store


def set_variable():
    os.environ["LEFT"] = "behind"


def set_store():
    mlflow.set_tracking_uri("sqlite:///left.db")


def set_path():
    sys.path.append("left")


def set_level():
    logging.root.setLevel(logging.CRITICAL)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (set_variable, "'variable LEFT': \"'unset' before, 'behind' now\""),
        (set_store, "'store of MLflow': \"None before, 'sqlite:///left.db' now\""),
        (set_path, "'sys.path': "),
        (set_level, "'level of logging': '30 before, 50 now'"),
    ],
)
def test_what_is_not_put_back_is_told(change, told, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(logging.root, "level", logging.WARNING)
    with own_store(), pytest.raises(pytest.fail.Exception) as error, nothing_leaks():
        change()
    assert told in str(error.value)
    assert "LEFT" not in os.environ


def test_what_is_put_back_is_no_leak(monkeypatch, tmp_path):
    with nothing_leaks(), own_store(), contextlib.chdir(tmp_path):
        set_store()
