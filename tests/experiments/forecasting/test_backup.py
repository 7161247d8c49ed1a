"""A training that is cut short and started again ends as one that was left alone, bit for bit."""

import itertools
import random
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from experiments.forecasting.training import save_model
from tests.experiments.forecasting.killed_training import build, train
from tests.repository import ROOT

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras


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


OPTIONS = {"patience": {"patience": 2, "epochs": 7}, "no patience": {"patience": 0, "epochs": 2}}


@pytest.fixture(scope="module", params=OPTIONS)
def undisturbed(request, tmp_path_factory):
    options = OPTIONS[request.param]
    return options, results(*train(None, **options), tmp_path_factory.mktemp("undisturbed"))


def test_a_training_that_is_left_alone_is_the_same_with_a_backup(undisturbed, tmp_path):
    options, expected = undisturbed
    np.testing.assert_equal(results(*train(tmp_path / "backup", **options), tmp_path), expected)


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.nightly)])
def test_it_can_be_cut_short_at_any_epoch(undisturbed, tmp_path, step):
    options, expected = undisturbed
    epochs = 3 + 7 if options["patience"] else 2 + 2
    for news in range(1, epochs + 1, step):
        # What was told before is told again, so that this lets ``step`` epochs be done each time.
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
    assert sorted(path.name for path in before) == ["seed_6.npz", "seed_7.npz"]
    np.testing.assert_equal(results(*train(tmp_path / "backup", **options), tmp_path), expected)
    assert {path: path.stat().st_mtime_ns for path in before} == before


SHORT = {"seeds": [6], "epochs": 3, "patience": 0}


def losses_of(backup):
    """All that a listener is told of one short training."""
    told = []
    train(backup, listeners=[lambda *news: told.append(news)], **SHORT)
    return told


@pytest.fixture(scope="module")
def short():
    return losses_of(None)


def torn(path):
    path.write_bytes(path.read_bytes()[:-100])


def bit_flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def of_another_kind(path):
    np.savez(path, record=np.array("[]"))


@pytest.mark.parametrize("spoil", [torn, bit_flipped, of_another_kind])
def test_a_spoilt_file_is_not_used(short, tmp_path, spoil):
    with pytest.raises(CutShort):
        train(tmp_path, listeners=[cut_after(2)], **SHORT)
    spoil(tmp_path / "seed_6.npz")
    assert losses_of(tmp_path) == short


@pytest.mark.parametrize(
    "other",
    [
        {"epochs": 4},
        {"batch_size": 6},
        {"patience": 1},
        {"train_stride": 2},
        {"build": partial(build, dropout=0.4)},
        {"build": partial(build, learning_rate=0.1)},
    ],
    ids=["epochs", "batch_size", "patience", "train_stride", "dropout", "learning_rate"],
)
def test_a_file_of_another_training_is_not_used(short, tmp_path, other):
    train(tmp_path, **SHORT | other)
    assert losses_of(tmp_path) == short


@pytest.mark.slow
@pytest.mark.parametrize(
    ("epochs", "longest"),
    [
        ((4,), 0.0),
        pytest.param((1, 4, 8, 2, 5, 9, 3, 6, 10, 7), 0.05, marks=pytest.mark.nightly),
    ],
)
def test_killed_after_an_epoch_it_ends_in_the_same_bytes(tmp_path, epochs, longest):
    """At once after it was told of the epoch; nightly a random moment later."""

    def start(backup, result):
        command = [
            sys.executable,
            "-m",
            "tests.experiments.forecasting.killed_training",
            backup,
            result,
        ]
        return subprocess.Popen(
            command, cwd=ROOT, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    undisturbed = start(tmp_path / "none", tmp_path / "undisturbed")
    assert len(undisturbed.communicate()[0].splitlines()) == 10
    moment = random.Random(0)
    for first in epochs:
        process = start(tmp_path / "backup", tmp_path / "killed")
        for _ in range(first):
            process.stdout.readline()
        time.sleep(moment.uniform(0, longest))
        process.kill()
        process.communicate()
    start(tmp_path / "backup", tmp_path / "resumed").communicate()
    files = [p for p in (tmp_path / "undisturbed").rglob("*") if p.is_file()]
    assert len(files) == 5
    for path in files:
        again = tmp_path / "resumed" / path.relative_to(tmp_path / "undisturbed")
        assert again.read_bytes() == path.read_bytes(), path
