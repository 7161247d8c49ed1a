import numpy as np
import pytest

from experiments.depth import probes
from experiments.depth.settings import LAGS
from tests.experiments.depth.layers import Copies, Delays, Starts, stack_of

X = np.random.default_rng(5).normal(size=(40, 30, 1)).astype("float32")


@pytest.mark.parametrize(("units", "r2"), [(1, 0.0), (6, 0.5), (11, 1.0)])
def test_a_delay_line_holds_as_much_of_the_past_as_it_is_long(units, r2):
    [states] = probes.hidden_states(stack_of(1, Delays(units)), X)
    assert probes.probe_past(states, X) == pytest.approx(r2, abs=0.03)


def test_scale_does_not_matter():
    [states] = probes.hidden_states(stack_of(1, Delays(6)), X)
    assert probes.probe_past(1e-3 * states + 5, X) == pytest.approx(
        probes.probe_past(states, X), abs=1e-3
    )


def test_a_probe_is_scored_on_samples_it_has_not_seen():
    noise = np.random.default_rng(6).normal(size=(4, 30, 70))
    assert probes.probe_past(noise, X[:4]) < -0.5  # learnt by heart, it would be 1


def test_a_class_is_read_where_it_stands():
    classes = (X[..., 0] > 0).astype(int)
    assert probes.probe_class(X, classes) > 0.99
    assert probes.probe_class(np.roll(X, 1, axis=0), classes) < 0.6


def test_the_window_holds_the_present_and_the_past():
    window = probes.past_window(X)
    assert window.shape == (40, 30, LAGS + 1)
    np.testing.assert_array_equal(window[:, 15, -1], X[:, 15, 0])
    np.testing.assert_array_equal(window[:, 15, 0], X[:, 15 - LAGS, 0])
    assert (window[:, 0, :-1] == 0).all()


def test_a_wide_layer_is_cut_to_its_main_directions():
    wide = np.concatenate([X, 5 * np.roll(X, 3, axis=0), 1e-3 * X[:, ::-1]], axis=-1)
    narrow = probes.narrowed(wide, 2)
    assert narrow.shape == (40, 30, 2)
    assert abs(np.corrcoef(narrow[..., 0].ravel(), wide[..., 1].ravel())[0, 1]) > 0.99


def test_what_is_lost_is_counted_at_equal_width():
    found = probes.measure_past({"one": stack_of(1, Delays(11), Starts(5))}, X).isel(model=0)
    assert float(found["past_layer_1"]) > 0.99
    assert float(found["past_layer_1_narrowed"]) == pytest.approx(5 / 11, abs=0.05)
    assert float(found["past_layer_2"]) == pytest.approx(4 / 10, abs=0.03)
    assert float(found["past_lost_by_depth"]) == pytest.approx(
        float(found["past_layer_1_narrowed"] - found["past_layer_2"])
    )
    assert float(found["past_now"]) == pytest.approx(0, abs=0.03)


def test_a_copy_loses_nothing():
    found = probes.measure_past({"one": stack_of(1, Delays(11), Copies(11))}, X)
    assert float(found["past_lost_by_depth"][0]) == pytest.approx(0, abs=1e-3)
