"""Each answer on a stock stack, and another one where states are carried otherwise."""

import keras
import numpy as np
import pytest

from experiments.carrying_state import (
    answers,
    gradient,
    installed,
    live,
    outputs,
    slots,
    starts,
    storage,
    words,
)
from lstm_states.traces.traced_layers import UnsupportedLayerError
from notebook_pipeline.conditions import satisfies
from notebook_pipeline.expectations import hold_against
from tests.experiments.carrying_state import carriers
from tests.experiments.shared import altered
from tests.experiments.shared.judge import as_kept

# Numbers of float32: Keras's fit and predict round to them, even for layers of float64.
X = np.random.default_rng(5).normal(size=(3, altered.STEPS, altered.FEATURES))
X = X.astype(np.float32).astype(np.float64)


def stack(lower=keras.layers.LSTM, upper=keras.layers.LSTM):
    """A stack of layers of these classes; the head sees every step."""
    return altered.stack(
        lambda n: lower(n, return_sequences=True), lambda n: upper(n, return_sequences=True)
    )


def by_border(models, x):
    return gradient.measure_truncation(gradient.measure_gradients(models, x))


def wrong(found):
    """The measures in ``found`` that contradict the answers."""
    return {
        one.measure
        for one in hold_against({name: answers.ANSWERS[name] for name in found}, as_kept(found))
        if one.departs
    }


MEASURES = [
    outputs.measure_outputs, outputs.measure_trace, outputs.measure_stateless, live.measure_epochs,
    live.measure_moves, slots.measure_slots, slots.measure_short_batch, slots.measure_other_size,
    by_border, starts.measure_starts, starts.measure_both_directions, starts.measure_handover,
    storage.measure_saving, storage.measure_streaming,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.__name__)
def test_a_stock_stack_bears_the_answers_out(measure):
    found = measure({"stock": stack()}, X)
    assert wrong(found) == set()
    assert all(v.dims == ("model",) and v.attrs["long_name"] for v in found.values())


@pytest.mark.parametrize("ask", [installed.measure_names, installed.measure_fused_kernel])
def test_the_installed_keras_bears_the_answers_out(ask):
    assert wrong(ask()) == set()


FLIPS = {
    "both handed up": (
        outputs.measure_outputs,
        lambda: altered.stack(lower=lambda n: altered.of_cells(altered.PassesBoth, n)),
        {"rises_per_unit": 2},
    ),
    "c handed up": (
        outputs.measure_outputs,
        lambda: altered.stack(lower=lambda n: altered.of_cells(altered.GivesCell, n)),
        {"output_minus_h": "some", "output_minus_c": "none", "sequence_minus_h": "some"},
    ),
    "samples mixed": (
        outputs.measure_stateless, lambda: stack(carriers.MixesSamples), {"neighbours_move": "some"}
    ),
    "states that go from call to call": (
        outputs.measure_stateless,
        lambda: live.carrying(stack(), len(X)),
        {"second_call_moves": "some"},
    ),
    "epochs from zeros": (
        live.measure_epochs,
        lambda: stack(carriers.SaysSo, carriers.SaysSo),
        {"epochs_minus_carried": "some"},
    ),
    "nothing moved": (
        live.measure_moves,
        lambda: stack(carriers.SaysSo, carriers.SaysSo),
        {
            "predict_moves": "none", "evaluate_moves": "none", "validation_moves": "none",
            "submodel_moves": "none",
        },
    ),
    "nothing carried": (
        slots.measure_slots,
        lambda: stack(carriers.SaysSo, carriers.SaysSo),
        {
            "continued_minus_whole": "some", "in_order_minus_whole": "some",
            "leftover_moves": "none", "reset_minus_stateless": "some",
        },
    ),
    "any number of rows": (
        slots.measure_short_batch,
        lambda: stack(carriers.SaysSo, carriers.SaysSo),
        {"rows_out": 7, "three_of_four_refused": 0, "one_batch_refused": 0},
    ),
    "any batch size": (
        slots.measure_other_size,
        lambda: stack(carriers.SaysSo, carriers.SaysSo),
        {"other_size_refused": 0, "single_slot_minus_model": "some"},
    ),
    "a gradient that crosses": (
        by_border,
        lambda: stack(carriers.Unbroken, carriers.Unbroken),
        {"gradient_before_stateful": "some"},
    ),
    "the stored state wins": (
        starts.measure_starts,
        lambda: stack(carriers.IgnoresStart, carriers.IgnoresStart),
        {"argument_minus_stateless": "some", "stored_moves": "some"},
    ),
    "both halves backwards": (
        starts.measure_both_directions,
        lambda: stack(altered.LooksAhead),
        {"forward_minus_last": "some", "forward_carried_minus_whole": "some"},
    ),
    "states in the file": (
        storage.measure_saving,
        lambda: stack(carriers.Saves, carriers.Saves),
        {"state_reloaded": "some", "going_on_moves": "none"},
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
@pytest.mark.parametrize("name", FLIPS)
def test_another_stack_gives_another_answer(name):
    measure, make, expected = FLIPS[name]
    with keras.saving.custom_object_scope({"LooksAhead": altered.LooksAhead}):
        found = measure({"altered": make()}, X)
    assert set(expected) <= wrong(found)
    for measured, what in expected.items():
        value = float(found[measured][0])
        some, none = (satisfies(value, told) for told in (answers.SOME, answers.NONE))
        assert {"some": some, "none": none}.get(what, value == what), measured


def test_gates_in_another_order_are_noticed(monkeypatch):
    monkeypatch.setattr(outputs, "GATES", ("input_gate", "candidate", "forget_gate", "output_gate"))
    found = outputs.measure_trace({"stock": stack()}, X)
    assert wrong(found) == {"gates_minus_blocks", "gates_minus_other_order"}


def test_a_decoder_that_starts_from_zeros_is_noticed(monkeypatch):
    def forgetful(features, target_features, units):
        read, given = keras.Input((None, features)), keras.Input((None, target_features))
        ends = []
        for name, sequence in (("encoder", read), ("decoder", given)):
            for place, width in enumerate(units):
                layer = keras.layers.LSTM(
                    width, return_sequences=True, name=f"{name}_{place}" if place else name
                )
                sequence = layer(sequence)
            ends.append(sequence)
        # What is before the head is the decoder's own sequence, as in the one that hands over.
        merged = keras.layers.Dense(1)(ends[1] + 0 * keras.ops.mean(ends[0], 1, keepdims=True))
        model = keras.Model([read, given], merged)
        return model

    monkeypatch.setattr(starts, "build_encoder_decoder", forgetful)
    found = starts.measure_handover({"stock": stack()}, X)
    assert wrong(found) == {"handed_minus_whole_stack"}


def test_a_stack_that_can_not_be_streamed_is_refused():
    with pytest.raises(UnsupportedLayerError, match="can't be streamed"):
        storage.measure_streaming({"altered": stack(altered.LooksAhead)}, X)


def test_another_keras_has_other_names():
    found = installed.measure_names(carriers.AsBefore)
    assert wrong(found) == {"reset_takes_states", "batch_input_shape_taken"}
    assert [str(model) for model in found["model"].values] == [f"Keras {keras.version()}"]


def test_a_layer_that_always_loops_asks_for_nothing():
    found = installed.measure_fused_kernel(carriers.Loops)
    assert wrong(found) == {"asked_plain", "asked_with_dropout"}


def test_gradients_are_those_of_the_whole_by_finite_differences():
    model, x = stack(), X[:1]
    found = gradient.measure_gradients({"stock": model}, x)["gradient"].isel(model=0)
    assert list(found["step"].values) == list(range(-6, 6))
    by_step = found.sel(carry="whole")
    below_head = keras.Model(model.inputs[0], model.layers[-2].output)
    norms = []
    for step in (0, 8):
        change = np.zeros_like(x)
        slopes = np.zeros(x[:, 0].shape)
        for place in np.ndindex(slopes.shape):
            change[place[0], step, place[1]] = 1e-5
            more, less = (np.sum(below_head(x + sign * change)[:, -1]) for sign in (1, -1))
            slopes[place] = (more - less) / 2e-5
            change[:] = 0
        norms.append(np.linalg.norm(slopes))
    np.testing.assert_allclose(by_step.isel(step=[0, 8]), norms, rtol=1e-6)


def kept_as_answered():
    """Values that bear every answer out."""
    values = {name: float(told.split(", ")[0].split()[1]) for name, told in answers.ANSWERS.items()}
    return {
        name: {"values": {"trained": value, "seed 0": value}, "says": name}
        for name, value in values.items()
    }


def test_the_answer_says_which_measures_contradict_the_answers_below_it():
    kept = kept_as_answered()
    assert f"All {len(kept)} measures confirm the answers" in words.answer(kept)
    kept["rows_out"]["values"] = {"trained": 8.0, "seed 0": 7.0}
    kept["kept_moves"]["values"] = {"trained": 0.0, "seed 0": float("nan")}
    said = words.answer(kept)
    assert f"2 of {len(kept)} measures do not confirm the answers under the headings: " in said
    assert "kept_moves (0, no number in 1 of 2); rows_out (7 to 8)" in said


@pytest.mark.parametrize("moved", [0.0, 0.25])
def test_the_answer_says_whether_epochs_start_anew(moved):
    kept = kept_as_answered()
    kept["epochs_minus_carried"]["values"] = {"trained": moved, "seed 0": moved}
    said = words.answer(kept)
    assert ("Keras resets nothing between epochs" in said) is (moved == 0)
    assert f"running the data twice by {moved:g}" in said


@pytest.mark.parametrize(("rate", "condition"), [(0.0, answers.NONE), (0.1, answers.SOME)])
def test_to_try_epochs_equal_as_many_runs_unless_the_weights_change(rate, condition):
    model, x = stack(), X[:, :2]
    stateful = live.carrying(model, len(x))
    stateful.compile(keras.optimizers.SGD(rate), "mse", run_eagerly=True)
    y = live.zeros_like_output(model, x)
    stateful.fit(x, y, epochs=3, batch_size=len(x), shuffle=False, verbose=0)
    ends = live.ends(model, np.concatenate([x, x, x], axis=1))
    assert satisfies(live.apart(live.current(stateful), ends), condition)
