"""Errors on the adding task: whose, at which length, and beside which baselines."""

import numpy as np
import pytest
import xarray as xr

from experiments.data.made import make_adding
from experiments.memory import adding
from experiments.memory.variants import LSTMS, VARIANTS
from experiments.shared.learning import make_tasks


def sums(length, seeds=(0, 1), steps=40):
    draw = {"shortest": length, "longest": length}
    return make_tasks(make_adding, seeds=seeds, training_steps=steps, batch_size=32, **draw)


def perfect(x):
    return (x[..., 0] * x[..., 1]).sum(axis=1, keepdims=True)


def off(x):
    return perfect(x) + 0.1


def test_errors_are_those_of_each_predictor_seed_and_length():
    by_length = {4: sums(4), 9: sums(9)}
    fitted = {
        4: {variant: {0: perfect, 1: off} for variant in VARIANTS},
        9: {variant: {0: off, 1: off} for variant in LSTMS},
    }
    errors = adding.measure_errors(fitted, by_length)["error"]
    np.testing.assert_allclose(errors.sel(predictor="gru", length=4), [0, 0.01], atol=1e-6)
    np.testing.assert_allclose(errors.sel(predictor="chrono", length=9), 0.01, rtol=1e-3)
    assert errors.sel(predictor="gru", length=9).isnull().all()
    np.testing.assert_allclose(errors.sel(predictor="do_nothing"), 1 / 6, rtol=0.2)
    # Ridge knows which numbers are marked only on average, the less the more there are.
    ridge, nothing = (errors.sel(predictor=name) for name in ("ridge", "do_nothing"))
    assert (ridge > 0.05).all()
    assert (ridge < nothing).all()
    assert (ridge.sel(length=9) > ridge.sel(length=4)).all()


def test_evidence_is_of_the_longest_length_that_all_learnt():
    rows = [*VARIANTS, *adding.BASELINES]
    values = np.arange(len(rows) * 3 * 2, dtype=float).reshape(len(rows), 3, 2)
    values[rows.index("gru"), 2] = np.nan
    errors = xr.Dataset(
        {
            "error": (("predictor", "length", "model"), values),
            "whole": ("length", [True, True, False]),
        },
        {"predictor": rows, "length": [5, 10, 20], "model": ["seed 0", "seed 1"]},
    )
    evidence = adding.as_errors(errors)
    assert list(evidence) == [f"adding_error_{name}" for name in rows]
    for number, name in enumerate(rows):
        np.testing.assert_array_equal(evidence[f"adding_error_{name}"], values[number, 1])
    assert "10 steps" in evidence["adding_error_gru"].attrs["long_name"]


@pytest.mark.parametrize("variant", ["chrono", "simple_rnn"])
def test_a_variant_learns_a_short_task(variant):
    task = sums(3, seeds=[0], steps=300)
    options = {"units": 8, "learning_rate": 0.02, "batch_size": 32}
    fitted = adding.fit_variants([variant], task, **options)
    errors = adding.measure_errors({3: fitted}, {3: task})["error"].isel(length=0, model=0)
    assert float(errors.sel(predictor=variant)) < float(errors.sel(predictor="do_nothing")) / 5
