"""Each rule: a model in its trap, and one that isn't."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from lstm_inspect.evidence import gather
from lstm_inspect.findings import SEVERITIES
from lstm_inspect.given import check_given
from lstm_inspect.padding import find_padding
from lstm_inspect.questions import ANSWERS
from lstm_inspect.rules import RULES, judge
from lstm_inspect.rules.carrying import (
    backward_reads_padding,
    batches_that_do_not_fit,
    last_step_of_both,
    no_continuation,
    order_moves_outputs,
    recurrent_dropout,
    reversed_outputs,
    stateful_needs_order,
)
from lstm_inspect.rules.padding import (
    empty_samples,
    mask_hides_values,
    mask_missing,
    mask_not_for_cudnn,
    padding_moves_outputs,
)
from lstm_inspect.rules.recording import (
    large_residuals,
    nan_in_states,
    not_recorded,
    values_missing,
)
from lstm_inspect.rules.states import extreme_states, half_lives, idle_units, saturated_gates
from lstm_inspect.sensitivity import AT_END, ORDER, _apart
from lstm_inspect.wiring import last_step_of
from lstm_states import make_stateful_batches
from tests.lstm_inspect.models import L, evidence, numbers, padded, sequential, waves
from tests.repository import ROOT


def lstm(**options):
    return L.LSTM(3, name="lstm", **options)


@pytest.fixture(scope="module")
def plain():
    """A model over numbers without padding: it is in no trap."""
    return evidence(sequential((None, 2), lstm(), L.Dense(1)), numbers())


@pytest.fixture(scope="module")
def unmasked():
    return evidence(sequential((None, 2), lstm(), L.Dense(1)), padded())


@pytest.fixture(scope="module")
def masked():
    return evidence(sequential((None, 2), L.Masking(), lstm(), L.Dense(1)), padded())


@pytest.fixture(scope="module")
def both():
    """A Bidirectional that reads padding, of which the model takes the last step."""
    x = keras.Input((8, 2))
    y = L.Bidirectional(lstm(return_sequences=True), name="both")(x)
    return evidence(keras.Model(x, L.Dense(1)(y[:, -1])), padded())


@pytest.fixture(scope="module")
def carried():
    """A stateful model over a series in its order, but not in the order of its slots."""
    model = sequential((6, 1), lstm(stateful=True), L.Dense(1), batch=4)
    return evidence(model, waves(18, 6))


def found(rule, seen):
    return list(rule(seen))


def test_a_sound_model_is_in_no_trap(plain):
    assert [f for f in judge(plain) if f.severity != "note"] == []


def test_padding_without_a_mask(unmasked, masked):
    (one,) = found(mask_missing, unmasked)
    assert (one.severity, one.layer) == ("wrong", "lstm")
    assert "19% of all steps (value 0): no layer makes a mask" in one.case  # 12 of 64 steps
    assert "Masking(mask_value=0)" in one.advice
    assert found(mask_missing, masked) == []


@pytest.mark.filterwarnings("ignore:Layer .conv.")
def test_the_layer_that_loses_a_mask_is_named():
    model = sequential((8, 2), L.Masking(), L.Conv1D(2, 3, padding="same", name="conv"), lstm())
    (one,) = found(mask_missing, evidence(model, padded()))
    assert "the mask is lost at 'conv' (Conv1D)" in one.case


def test_words_get_the_advice_for_words():
    x = np.random.default_rng(0).integers(1, 9, (8, 7))
    x[::2, 4:] = 0
    for mask_zero in (True, False):
        model = sequential((None,), L.Embedding(9, 2, mask_zero=mask_zero), lstm())
        told = found(mask_missing, evidence(model, x))
        assert [one.advice[:18] for one in told] == ([] if mask_zero else ["Use Embedding(...,"])


def test_a_decoder_that_starts_from_states_gets_no_mask():
    x = keras.Input((8, 2))
    y = L.Masking()(x)
    _, h, c = L.LSTM(3, return_state=True, name="encoder")(y)
    model = keras.Model(x, L.LSTM(3, name="decoder")(y, initial_state=[h, c]))
    (one,) = found(mask_missing, evidence(model, padded()))
    assert one.layer == "decoder"
    assert "starts from given states" in one.case


def test_a_character_may_be_padding():
    codes = np.random.default_rng(0).integers(1, 4, (8, 7))
    codes[::2, 4:] = 0
    seen = evidence(sequential((7, 4), lstm()), np.eye(4, dtype="float32")[codes])
    np.testing.assert_array_equal(seen.paddings[0].real, codes > 0)
    (one,) = found(mask_missing, seen)
    assert "always the same step" in one.case
    unpadded = np.eye(4, dtype="float32")[codes[:, :4]]
    assert evidence(sequential((4, 4), lstm()), unpadded).paddings == {}


@pytest.mark.parametrize("value", [-1, 999])
@pytest.mark.parametrize("at_start", [True, False])
def test_any_filler_on_both_sides(value, at_start):
    x = numbers(12, 8)
    for row in range(12):
        x[row, slice(row % 5) if at_start else slice(8 - row % 5, 8)] = value
    seen = evidence(sequential((None, 2), lstm()), x)
    (one,) = found(mask_missing, seen)
    assert f"Masking(mask_value={value})" in one.advice
    (padding,) = seen.paddings.values()
    assert (padding.at_start, padding.at_end, padding.value) == (at_start, not at_start, value)
    # What is added is what the data are padded with: a zero here is a value.
    (moved,) = found(padding_moves_outputs, seen)
    added = np.full((12, 5, 2), value, "float32")
    longer = np.concatenate([added, x] if at_start else [x, added], 1)
    outputs = [seen.given.model.predict(one, verbose=0) for one in (x, longer)]
    apart = np.abs(outputs[1] - outputs[0])
    assert f"up to {apart.max():.2g}," in moved.case


def values_with_zeros(kind):
    draw = np.random.default_rng(0)
    if kind == "counts":
        return draw.poisson(0.5, (64, 10, 1)).astype("float32")
    if kind == "events":
        return (draw.random((64, 6, 1)) < 0.1).astype("float32")
    if kind == "letters":
        return np.eye(4, dtype="float32")[draw.choice(4, p=[0.6, 0.2, 0.1, 0.1], size=(64, 20))]
    return np.clip(draw.normal(size=(64, 24, 1)).cumsum(1), -2, 2).astype("float32")


@pytest.mark.parametrize("kind", ["counts", "events", "letters", "clipped"])
def test_steps_that_stand_between_others_are_values(kind):
    x = values_with_zeros(kind)
    given = check_given(
        sequential((None, x.shape[2]), lstm()), x, mask=None, labels=None, tokens=None
    )
    assert find_padding(given) is None


def two_inputs(x, y, model):
    return gather(check_given(model, [x, y], mask=None, labels=None, tokens=None))


def test_padding_is_that_of_the_input_that_a_layer_reads():
    one, other = keras.Input((8, 2), name="one"), keras.Input((8, 2), name="other")
    _, h, c = L.LSTM(3, return_state=True, name="encoder")(L.Masking()(one))
    decoder = L.LSTM(3, name="decoder")(other, initial_state=[h, c])
    model = keras.Model([one, other], decoder)
    assert found(mask_missing, two_inputs(padded(), numbers(8, 8), model)) == []
    (told,) = found(mask_missing, two_inputs(numbers(8, 8), padded(), model))
    assert told.layer == "decoder"
    start = L.Dense(3)(one[:, 0])
    model = keras.Model([one, other], L.GRU(3, name="started")(other, initial_state=start))
    (told,) = found(mask_missing, two_inputs(numbers(8, 8), padded(), model))
    assert told.layer == "started"
    shared, masking = L.GRU(3, name="shared"), L.Masking()
    model = keras.Model([one, other], [shared(masking(one)), shared(other)])
    assert found(mask_missing, two_inputs(padded(), numbers(8, 8), model)) == []
    (told,) = found(mask_missing, two_inputs(numbers(8, 8), padded(), model))
    assert told.layer == "shared/call_1"


def test_a_static_input_has_no_steps():
    static, x = keras.Input((3,), name="a"), keras.Input((None, 2), name="b")
    model = keras.Model([static, x], L.Dense(1)(L.Concatenate()([static, lstm()(x)])))
    seen = two_inputs(numbers(8, 3, 1)[..., 0], padded(), model)
    assert [one.layer for one in found(mask_missing, seen)] == ["lstm"]
    assert seen.sensitivity[AT_END].share > 0.01


def test_steps_of_its_own_are_no_padding():
    x = keras.Input((8, 2))
    code = L.LSTM(3, name="encoder")(L.Masking()(x))
    y = L.LSTM(2, return_sequences=True, name="decoder")(L.RepeatVector(8)(code))
    assert found(mask_missing, evidence(keras.Model(x, y), padded())) == []


@pytest.mark.filterwarnings("ignore:Layer .(conv|nested).")
def test_a_mask_that_is_lost_in_a_nested_model():
    x, inside = keras.Input((8, 2)), keras.Input((8, 2))
    conv = L.Conv1D(2, 3, padding="same", name="conv")
    nested = keras.Model(inside, L.LSTM(3, name="deep")(conv(inside)), name="nested")
    (one,) = found(mask_missing, evidence(keras.Model(x, nested(L.Masking()(x))), padded()))
    assert one.layer == "nested/deep"
    assert "the mask is lost at 'nested/conv' (Conv1D)" in one.case


def test_classes_as_many_as_steps_and_padding():
    model = sequential((None, 2), lstm(), L.Dense(11))
    seen = evidence(model, padded(8, 6))  # 6 steps and 5 of padding
    assert seen.sensitivity[AT_END].share > 0.01


def test_what_rounding_explains_moves_no_output(plain):
    outputs = np.full((8, 1), 3, "float32")
    moved = _apart(plain.given, ORDER, [(outputs, outputs + np.float32(3e-7))])
    assert (moved.largest > 0, moved.share) == (True, 0)


def test_a_mask_that_hides_values():
    x = numbers()
    x[3, 2] = 0
    model = sequential((None, 2), L.Masking(), lstm())
    (one,) = found(mask_hides_values, evidence(model, x))
    assert "1 steps between real ones, in 1 of 8 samples" in one.case
    (gpu,) = found(mask_not_for_cudnn, evidence(model, x))
    assert "row 3" in gpu.case
    fine = evidence(model, padded())
    assert found(mask_hides_values, fine) == found(mask_not_for_cudnn, fine) == []


def test_samples_without_a_step(masked):
    x = numbers()
    x[5] = 0
    seen = evidence(sequential((None, 2), L.Masking(), lstm()), x)
    (one,) = found(empty_samples, seen)
    assert "1 of 8 samples have no real step, sample 5 first" in one.case
    assert found(empty_samples, masked) == []


def test_padding_that_moves_outputs(unmasked, masked, plain):
    (one,) = found(padding_moves_outputs, unmasked)  # at the end alone, where the data have it
    assert "5 steps of padding at the end" in one.case
    assert found(padding_moves_outputs, masked) == found(padding_moves_outputs, plain) == []


def test_batches_that_do_not_fit(carried, plain):
    (one,) = found(batches_that_do_not_fit, carried)
    assert "batches of 4; 18 samples leave 2 over" in one.case
    assert found(batches_that_do_not_fit, plain) == []


def test_batches_that_do_not_continue(carried):
    (one,) = found(no_continuation, carried)
    assert one.severity == "wrong"
    assert "Each sample continues the one before it in the same batch instead" in one.case
    model = carried.given.model
    arranged = make_stateful_batches(waves(16, 6).reshape(-1, 1), slots=4, steps=6)
    assert found(no_continuation, evidence(model, arranged)) == []


def test_one_feature_that_jumps_is_no_new_series():
    t = np.arange(192)
    hours = np.stack([np.sin(t / 9), t % 24], 1)
    model = sequential((24, 2), lstm(stateful=True), batch=2)
    batches = make_stateful_batches(hours, slots=2, steps=24)
    assert found(no_continuation, evidence(model, batches)) == []
    both = np.stack([np.sin(t / 13), t / 24], 1)
    mixed = make_stateful_batches(both, slots=2, steps=24)[[6, 7, 4, 5, 2, 3, 0, 1]]
    assert len(found(no_continuation, evidence(model, mixed))) == 1


def test_batches_that_overlap(carried):
    series = numbers(1, 40, 1)[0]
    windows = np.stack([series[at : at + 6] for at in range(0, 32, 4)])  # 2 steps are read twice
    seen = evidence(sequential((6, 1), lstm(stateful=True), batch=1), windows)
    (one,) = found(no_continuation, seen)
    assert "repeats the last 2 steps" in one.case


def test_a_stateful_model_needs_order(carried, plain):
    (one,) = found(stateful_needs_order, carried)
    assert "a second run over the same data" in one.case
    (moved,) = found(order_moves_outputs, carried)
    assert moved.severity == "risk"
    assert found(stateful_needs_order, plain) == found(order_moves_outputs, plain) == []


def test_samples_that_mix_in_a_batch():
    x = keras.Input((6, 2))
    y = lstm()(x)
    model = keras.Model(x, y - keras.ops.mean(y, 0, keepdims=True))
    (one,) = found(order_moves_outputs, evidence(model, numbers()))
    assert (one.severity, one.layer) == ("wrong", "model")


def test_outputs_in_reversed_order(both):
    seen = evidence(sequential((6, 2), lstm(go_backwards=True, return_sequences=True)), numbers())
    (one,) = found(reversed_outputs, seen)
    assert "6 steps in reversed order" in one.case
    assert found(reversed_outputs, both) == []


def test_the_last_step_of_both_directions(both):
    (one,) = found(last_step_of_both, both)
    assert "read 1 of 8 steps" in one.case
    x = keras.Input((8, 2))
    first = L.Bidirectional(lstm(return_sequences=True))(x)[:, 0]
    assert found(last_step_of_both, evidence(keras.Model(x, first), numbers(8, 8))) == []


@pytest.mark.parametrize(
    ("pick", "is_last"),
    [
        (lambda y: y[:, 7], True),
        (lambda y: y[:, -1:], True),
        (lambda y: keras.ops.take(y, -1, axis=1), True),
        (lambda y: L.LayerNormalization()(L.Dropout(0.1)(y))[:, -1], True),
        (lambda y: y[..., -1], False),
        (lambda y: keras.ops.take(y, -1, axis=2), False),
        (lambda y: L.Conv1D(2, 8)(y)[:, -1], False),
    ],
)
def test_ways_to_take_the_last_step(pick, is_last):
    x, inside = keras.Input((8, 2)), keras.Input((8, 2))
    both = L.Bidirectional(lstm(return_sequences=True), name="both")
    nested = keras.Model(inside, pick(both(inside)))
    for model in (nested, keras.Model(x, nested(x))):
        assert last_step_of(model, both) == is_last


def test_a_backward_layer_that_begins_with_padding(both, masked):
    (one,) = found(backward_reads_padding, both)
    assert one.layer == "both/backward"
    assert "up to 3 steps of padding" in one.case
    assert found(backward_reads_padding, masked) == []


def test_recurrent_dropout(plain):
    seen = evidence(sequential((None, 2), lstm(recurrent_dropout=0.5)), numbers())
    (one,) = found(recurrent_dropout, seen)
    assert "0.5" in one.case
    assert found(recurrent_dropout, plain) == []


def with_weights(change):
    """A model whose kernel, recurrent kernel and bias, by gates, were changed."""
    model = sequential((None, 2), lstm())
    arrays = [w.reshape(*w.shape[:-1], 4, 3) for w in model.get_weights()]
    change(*arrays)
    model.set_weights([w.reshape(*w.shape[:-2], 12) for w in arrays])
    return model


def test_idle_units(plain):
    def idle(kernel, recurrent, bias):
        kernel[..., 2] = recurrent[..., 2] = bias[..., 2] = 0  # c stays 0
        for weights in (kernel, recurrent, bias):
            weights[..., 1] = weights[..., 0]

    told = found(idle_units, evidence(with_weights(idle), numbers()))
    assert [one.rule for one in told] == ["dead_units", "duplicate_units"]
    assert "1 of 3 units hardly vary" in told[0].case
    assert "units 0 and 1 first" in told[1].case
    assert found(idle_units, plain) == []


def test_saturated_gates(plain):
    def shut(kernel, recurrent, bias):
        bias[1] = -30  # the forget gate

    seen = evidence(with_weights(shut), numbers())
    (one,) = found(saturated_gates, seen)
    assert "forget gate is shut (below 0.1) at 100%" in one.case
    assert [one.rule for one in found(half_lives, seen)] == ["short_memory"]
    assert found(saturated_gates, plain) == []


def test_extreme_states_and_a_memory_that_lasts(plain):
    def full(kernel, recurrent, bias):
        bias[:] = 30

    seen = evidence(with_weights(full), 20 * numbers(8, 20) ** 2 / 9)
    (one,) = found(extreme_states, seen)
    assert "|h| is above 0.9" in one.case
    assert "inputs reach" in one.case
    (memory,) = found(half_lives, seen)
    assert memory.rule == "long_memory"
    assert found(extreme_states, plain) == []
    fresh = keras.Sequential([keras.Input((None, 2)), lstm()])  # its forget gates are near 0.73
    assert found(half_lives, evidence(fresh, numbers())) == []


def test_units_that_are_all_dead_and_a_single_step():
    seen = evidence(sequential((None, 2), lstm(use_bias=False)), np.zeros((4, 5, 2)))
    (dead,) = found(idle_units, seen)
    assert "Look at the data" in dead.advice
    keeps = with_weights(lambda kernel, recurrent, bias: bias.fill(30))
    assert found(half_lives, evidence(keeps, numbers(8, 1))) == []


def test_infinity_in_the_data(plain):
    x = numbers()
    x[5, 1, 0] = np.inf
    (one,) = found(values_missing, evidence(sequential((None, 2), lstm()), x))
    assert "NaN or infinity in 1 of 8 samples, sample 5 first" in one.case
    assert found(values_missing, plain) == []


def test_nan(plain):
    x = numbers()
    x[2, 3] = np.nan
    (one,) = found(nan_in_states, evidence(sequential((None, 2), lstm()), x))
    assert (one.severity, one.layer) == ("wrong", "lstm")
    assert "sample 2, step 3" in one.case
    assert found(nan_in_states, plain) == []


class OwnLoop(keras.layers.LSTM):
    def inner_loop(self, *args, **kwargs):
        return super().inner_loop(*args, **kwargs)


def test_a_layer_that_cannot_be_recorded(plain):
    own = OwnLoop(3, return_sequences=True, name="own")
    seen = evidence(sequential((None, 2), own, lstm()), numbers())
    (one,) = found(not_recorded, seen)
    assert (one.layer, "overrides inner_loop" in one.case) == ("own", True)
    assert found(not_recorded, plain) == []


def test_residuals(plain):
    off = replace(plain, residuals=plain.residuals + 0.5)
    assert {one.severity for one in found(large_residuals, off)} == {"wrong"}
    assert found(large_residuals, plain) == []


def test_findings_come_in_the_order_of_their_severity(both, carried):
    for seen in (both, carried):
        order = [SEVERITIES.index(one.severity) for one in judge(seen)]
        assert order == sorted(order)
        assert len(order) > 2


def test_every_rule_says_what_it_looks_for_and_every_question_is_answered():
    assert all(rule.__doc__ for rule in RULES)
    page = (ROOT / "docs/questions.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    asked = {row[0].lstrip("| "): row[1] for row in rows}
    named = set()
    for path in (ROOT / "src/lstm_inspect/rules").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= {part for part in text.split('"')[1::2] if part.endswith("?")}
    assert len(named) > 6
    assert named == set(ANSWERS)
    assert {question: asked[question] for question in named} == ANSWERS
