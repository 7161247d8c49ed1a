import numpy as np
import pytest

from lstm_states.tasks import make_adding


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
