"""A training that is cut short and started again ends as one that was left alone, bit for bit."""

import itertools
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from lstm_states.training import save_model
from tests.clone import ROOT
from tests.killed_training import train

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras


class CutShort(Exception):
    """What ends a training here, as a kill would."""


def cut_after(news):
    """A listener that ends the training when it has been told so many times."""
    told = itertools.count(1)

    def listener(*_):
        if next(told) == news:
            raise CutShort

    return listener


def results(models, history, folder):
    """All that training gives: files as the pipeline keeps them, dropout's seeds, the history."""
    files = {}
    for i, model in enumerate(models):
        save_model(model, folder / str(i))
        files |= {f"{i}/{path.name}": path.read_bytes() for path in (folder / str(i)).iterdir()}
        files[f"{i}/variables"] = [variable.numpy().tolist() for variable in model.variables]
    return files | {"history": history.to_dict()}


@pytest.fixture(scope="module", params=[0, 3], ids=["no patience", "patience"])
def undisturbed(request, tmp_path_factory):
    options = {"patience": request.param, "epochs": 5 if request.param == 0 else 9}
    return options, results(*train(None, **options), tmp_path_factory.mktemp("undisturbed"))


def test_a_training_that_is_left_alone_is_the_same_with_a_backup(undisturbed, tmp_path):
    options, expected = undisturbed
    np.testing.assert_equal(results(*train(tmp_path / "backup", **options), tmp_path), expected)


def test_it_can_be_cut_short_at_any_epoch(undisturbed, tmp_path):
    options, expected = undisturbed
    epochs = int(np.isfinite(expected["history"]["data_vars"]["loss"]["data"]).sum())
    if options["patience"]:
        assert epochs < 3 * options["epochs"]  # one seed stops early, at least
    for news in range(1, epochs + 1):
        # What was told before is told again, so that this lets one more epoch be done each time.
        with pytest.raises(CutShort):
            train(tmp_path / "backup", listeners=[cut_after(news)], **options)
    told = []
    listeners = [lambda *news: told.append(news)]
    models, history = train(tmp_path / "backup", listeners=listeners, **options)
    np.testing.assert_equal(results(models, history, tmp_path / "end"), expected)
    assert len(told) == epochs
    for seed, epoch, losses in told:
        for name, value in losses.items():
            assert value == history[name].sel(seed=seed, epoch=epoch).item()


def test_what_is_done_is_not_done_again(undisturbed, tmp_path):
    options, expected = undisturbed
    train(tmp_path / "backup", **options)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "backup").iterdir()}
    assert sorted(path.name for path in before) == ["seed_5.npz", "seed_6.npz", "seed_7.npz"]
    np.testing.assert_equal(results(*train(tmp_path / "backup", **options), tmp_path), expected)
    assert {path: path.stat().st_mtime_ns for path in before} == before
