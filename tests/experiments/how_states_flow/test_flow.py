"""Each claim's verdict on a stock stack, and the other verdict on one that is altered."""

import keras
import numpy as np
import pytest

from experiments.how_states_flow import flow, installed, outputs
from experiments.shared.stack import distance, recurrent
from lstm_states import Edit, record_traces
from tests.experiments.shared import altered
from tests.experiments.shared.judge import verdict

X = np.random.default_rng(1).normal(size=(3, altered.STEPS, altered.FEATURES))


FLIPS = {
    1: (flow.measure_layers_alone, "refuted", "supported",
        lambda: altered.functional(altered.starts_from_below)),
    4: (flow.measure_what_rises, "refuted", "supported",
        lambda: altered.stack(lower=lambda n: altered.of_cells(altered.PassesBoth, n))),
    7: (flow.measure_causality, "supported", "refuted",
        lambda: altered.stack(lower=lambda n: altered.LooksAhead(n, return_sequences=True))),
    8: (flow.measure_chain, "supported", "refuted",
        lambda: altered.functional(altered.skips_a_layer)),
    10: (flow.measure_zeroed_cell, "supported", "refuted",
         lambda: altered.stack(*[lambda n: altered.of_cells(altered.ForgetsCell, n)] * 2)),
    13: (flow.measure_carried, "supported", "refuted",
         lambda: altered.stack(upper=lambda n: altered.LooksAhead(n, return_sequences=True))),
    17: (flow.measure_what_rises, "refuted", "supported",
         lambda: altered.stack(lower=lambda n: altered.of_cells(altered.PassesBoth, n))),
    20: (outputs.measure_outputs, "supported", "refuted",
         lambda: altered.stack(upper=lambda n: altered.of_cells(altered.GivesCell, n))),
    21: (outputs.measure_head, "supported", "refuted",
         lambda: altered.stack(head=keras.layers.Conv1D(1, 3, padding="same"))),
}  # fmt: skip


@pytest.mark.parametrize("number", FLIPS)
def test_an_altered_stack_flips_the_verdict(number):
    measure, on_stock, on_altered, make = FLIPS[number]
    assert verdict(number, measure({"stock": altered.stack()}, X)) == on_stock
    assert verdict(number, measure({"altered": make()}, X)) == on_altered


def test_a_layer_with_no_state_of_its_own_that_reads_c_would_bear_out_claim_6():
    def made(lower, upper):
        model = altered.stack(
            lower=lambda n: altered.of_cells(lower, n), upper=lambda n: altered.of_cells(upper, n)
        )
        return verdict(6, flow.measure_what_rises({"altered": model}, X))

    assert verdict(6, flow.measure_what_rises({"stock": altered.stack()}, X)) == "refuted"
    assert made(altered.PassesBoth, altered.ForgetsBoth) == "supported"
    assert made(keras.layers.LSTMCell, altered.ForgetsBoth) == "refuted"  # c doesn't rise
    assert made(altered.PassesBoth, keras.layers.LSTMCell) == "refuted"  # it has a past


def test_a_layer_that_loses_h_refutes_that_h_is_passed_on():
    model = altered.stack(*[lambda n: altered.of_cells(altered.ForgetsHidden, n)] * 2)
    assert verdict(13, flow.measure_carried({"altered": model}, X)) == "refuted"


def test_what_the_next_layer_gets_decides_claim_3():
    builds = installed.measure_without_sequences((4, 3))
    assert verdict(3, builds, outputs.measure_outputs({"stock": altered.stack()}, X)) == "depends"
    other = altered.functional(altered.gets_something_else)
    assert verdict(3, builds, outputs.measure_outputs({"altered": other}, X)) == "refuted"


def test_one_step_or_all_decides_claim_5():
    measured = outputs.measure_outputs({"stock": altered.stack()}, X)
    assert verdict(5, measured) == "depends"
    steps = measured["steps_with_sequences"].copy(data=[1 / 12])
    assert verdict(5, measured.assign(steps_with_sequences=steps)) == "refuted"


def test_masks_decide_claim_18():
    given = outputs.measure_outputs({"stock": altered.stack()}, X)
    ends = outputs.measure_masked_end({"stock": altered.stack()}, X)
    assert verdict(18, given, ends) == "depends"
    assert float(ends["masked_minus_unpadded"][0]) == 0
    blind = altered.stack(upper=lambda n: altered.IgnoresMask(n, return_sequences=True))
    ends = outputs.measure_masked_end({"altered": blind}, X)
    assert float(ends["masked_minus_unpadded"][0]) > 1e-3
    giving = altered.stack(upper=lambda n: altered.of_cells(altered.GivesCell, n))
    with_cell = outputs.measure_outputs({"altered": giving}, X)
    assert float(with_cell["plain_minus_h"][0]) > 1e-3
    assert verdict(18, with_cell, ends) == "refuted"


def test_h_is_held_while_c_changes():
    measured = flow.measure_what_rises({"stock": altered.stack()}, X)
    assert float(measured["held"][0]) < 1e-12
    assert float(measured["h_below_moves"][0]) > 1e-3


def test_a_layer_moves_nothing_below_it():
    measured = flow.measure_zeroed_cell({"stock": altered.stack()}, X)
    assert float(measured["c_zeroed_moves_below"][0]) == 0
    assert float(measured["c_zeroed_moves_above"][0]) > 1e-3


def test_backends_decide_claim_15():
    assert verdict(15, installed.measure_backends(installed.offered_backends())) == "refuted"
    assert verdict(15, installed.measure_backends(["tensorflow", "theano"])) == "supported"


def test_undefined_sizes_decide_claim_16():
    def printed(**sizes):
        return keras.Sequential([keras.Input((sizes["timesteps"], sizes["features"]))])

    def complete(**sizes):
        return keras.Sequential([keras.Input((1, 2))])

    with pytest.raises(KeyError):  # only what Python says of an undefined name counts
        installed.measure_sizes_undefined(printed)
    assert verdict(16, installed.measure_sizes_undefined(complete)) == "supported"


def test_to_try_without_the_edit_that_holds_h_its_c_moves_the_layer_above():
    model = altered.stack()
    lower, upper = (layer.name for layer in recurrent(model))
    twice = X[[0, 0]]
    edit = Edit(lower, "cell", add=0.5, time=2, sample=1)
    plain, edited = record_traces(model, twice, edits=[edit])[upper]["hidden"]
    assert distance(plain[:2], edited[:2]) <= 1e-9
    assert distance(plain[2], edited[2]) > 1e-3
