import numpy as np
import pytest

from experiments.data.made import make_adding, make_means, make_neighbours, make_regimes


def test_the_target_is_the_sum_of_the_two_marked_numbers():
    task = make_adding(200, shortest=4, longest=11, seed=3)
    for sample in range(200):
        one = task.isel(sample=sample)
        length = int(one["length"])
        number, marker = one["x"].values[:length].T
        first, second = np.flatnonzero(marker)
        assert first < length // 2 <= second
        assert float(one["y"]) == pytest.approx(number[first] + number[second], abs=1e-6)
        assert (one["x"].values[length:] == -1).all()
    assert set(task["length"].values) == set(range(4, 12))


def test_a_constant_guess_errs_by_a_sixth():
    y = make_adding(20_000, shortest=5, longest=5, seed=0)["y"].values
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, rel=0.03)


def test_parts_follow_each_other_and_seeds_differ():
    task = make_adding(10, shortest=2, longest=3, seed=0)
    assert task["part"].values.tolist() == [0] * 6 + [1] * 2 + [2] * 2
    other = make_adding(10, shortest=2, longest=3, seed=1)
    assert not np.array_equal(task["y"], other["y"])


@pytest.mark.parametrize("sizes", [(4, 2, 3), (10, 1, 3), (10, 5, 4)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="2 <= shortest <= longest"):
        make_adding(sizes[0], shortest=sizes[1], longest=sizes[2], seed=0)


def test_a_regime_decides_the_sign_of_the_next_value():
    task = make_regimes(3000, steps=60, seed=2, slope=0.8, stay=10.0)
    x, regime = task["x"].values[..., 0], task["regime"].values
    np.testing.assert_array_equal(task["y"].values[:, :-1], x[:, 1:])
    for number, sign in ((0, 1), (1, -1)):
        inside = regime[:, 1:] == number
        now, before = x[:, 1:][inside], x[:, :-1][inside]
        assert np.polyfit(before, now, 1) == pytest.approx([0.8 * sign, 0], abs=0.02)
        assert np.std(now - 0.8 * sign * before) == pytest.approx(0.6, abs=0.01)
        assert np.var(now) == pytest.approx(1, abs=0.03)
    assert np.mean(regime[:, 1:] != regime[:, :-1]) == pytest.approx(0.1, abs=0.005)
    assert regime.mean() == pytest.approx(0.5, abs=0.02)


def test_a_mean_is_of_the_steps_that_count():
    task = make_means(2000, steps=12, first=3, width=4, seed=0)
    counted = task["x"].values[:, 3:7, 0]
    np.testing.assert_allclose(task["y"], counted.sum(axis=1) / 2, atol=1e-6)
    assert float(task["y"].var()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("lag", [-2, -1, 0, 1, 3])
def test_a_label_is_the_bit_at_its_lag(lag):
    task = make_neighbours(50, steps=9, lag=lag, seed=0)
    bits, y = task["x"].values[..., 0], task["y"].values
    for step in range(9):
        if 0 <= step - lag < 9:
            np.testing.assert_array_equal(y[:, step], bits[:, step - lag])
    assert set(np.unique(bits)) == set(np.unique(y)) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (make_regimes, {"steps": 1}, "steps 1.*2 steps or more"),
        (make_regimes, {"steps": 5, "slope": 1.0}, r"slope 1\.0.*0 < slope < 1"),
        (make_regimes, {"steps": 5, "stay": 1.0}, r"stay 1\.0.*stay > 1"),
        (make_means, {"steps": 10, "first": 5, "width": 6}, r"first \+ width <= steps"),
        (make_means, {"steps": 10, "first": -1, "width": 2}, "first -1.*0 <= first"),
        (make_neighbours, {"steps": 2, "lag": -2}, "lag -2.*more steps than the size of lag"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(make, options, words):
    with pytest.raises(ValueError, match=words):
        make(10, seed=0, **options)
    with pytest.raises(ValueError, match="samples 4"):
        make(4, seed=0, **options)
