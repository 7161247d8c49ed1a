"""Live states of every kind of stateful layer: reset, kept, saved, copied; batches that go on."""

import keras
import numpy as np
import pytest

from experiments.shared.models import build_stacked
from lstm_states import (
    ResetStates,
    kept_states,
    load_states,
    make_stateful_batches,
    record_traces,
    reset_states,
    save_states,
    stateful_twin,
    stateless_twin,
)
from tests.conftest import shake
from tests.repository import python_blocks

L = keras.layers
SLOTS = 2
X = np.random.default_rng(0).normal(size=(2 * SLOTS, 6, 3)).astype("float32")
Y = np.zeros((2 * SLOTS, 1), "float32")
BATCHES = {"batch_size": SLOTS, "verbose": 0}


def build(stateful=True):
    """Every kind of layer: nested, bidirectional, stacked cells, GRU, SimpleRNN."""
    size, options = SLOTS if stateful else None, {"stateful": stateful, "return_sequences": True}
    inner = keras.Sequential(
        [keras.Input(batch_shape=(size, None, 3)), L.GRU(4, name="gru", **options)], name="inner"
    )
    x = keras.Input(batch_shape=(size, None, 3))
    h = L.Bidirectional(L.LSTM(3, **options), name="both")(inner(x))
    cells = L.StackedRNNCells([L.LSTMCell(4), L.GRUCell(2)])
    h = L.RNN(cells, name="cells", **options)(h)
    h = L.RNN([L.LSTMCell(3), L.LSTMCell(4)], name="lists", **options)(h)
    h = L.SimpleRNN(3, stateful=stateful, name="simple")(h[:, 1:])
    model = keras.Model(x, L.Dense(1)(h), name="every_kind")
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return shake(model, np.random.default_rng(1))


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(autouse=True)
def _start(request):
    """Tests that share the model begin in mid-sequence."""
    if "model" in request.fixturenames:
        model = request.getfixturevalue("model")
        reset_states(model)
        model.predict(X[:SLOTS], **BATCHES)


def states_of(model):
    """All live states, found without the library."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, L.RNN)]
    return [s.value.numpy() for la in layers for s in keras.tree.flatten(la.states or [])]


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def all_zero(states):
    return not any(state.any() for state in states)


def test_all_states_are_reset(model):
    states = states_of(model)
    assert [s.shape[1] for s in states] == [4, 3, 3, 3, 3, 4, 4, 2, 3, 3, 4, 4, 3]
    assert all(state.any() for state in states)
    reset_states(model)
    assert all_zero(states_of(model))


@pytest.mark.parametrize(
    "act",
    [
        lambda model: model.evaluate(X, Y, **BATCHES),
        lambda model: model.predict(X, **BATCHES),
        lambda model: model(X[:SLOTS]),
        lambda model: keras.Model(model.inputs[0], model.get_layer("both").output)(X[:SLOTS]),
        reset_states,
    ],
)
def test_what_moves_states_moves_none_that_are_kept(model, act):
    before = states_of(model)
    with kept_states(model):
        act(model)
        inside = states_of(model)
    assert any((a != b).any() for a, b in zip(before, inside, strict=True))
    assert_equal(states_of(model), before)


def _move_and_fail(model):
    model(X[:SLOTS])
    model(X)  # more rows than slots


def test_states_are_kept_where_something_fails(model):
    before = states_of(model)
    with pytest.raises(ValueError, match="batch size"), kept_states(model):
        _move_and_fail(model)
    assert_equal(states_of(model), before)


# ResetStates


class Watch(keras.callbacks.Callback):
    """Keep what the states are at each moment."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.setdefault(f"train {batch}", []).append(states_of(self.model))

    def on_test_batch_begin(self, batch, logs=None):
        self.seen.setdefault(f"test {batch}", []).append(states_of(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.seen.setdefault("epoch", []).append(states_of(self.model))


@pytest.mark.parametrize("reset", [True, False])
def test_epochs_and_validation_start_from_zeros_with_the_callback_only(model, reset):
    watch = Watch()
    model.fit(
        X, Y, epochs=2, shuffle=False, validation_data=(X[::-1], Y),
        callbacks=[*([ResetStates()] if reset else []), watch], **BATCHES,
    )  # fmt: skip
    for moment in ("train 0", "test 0"):
        assert [all_zero(states) for states in watch.seen[moment]] == [reset, reset]
    for moment in ("train 1", "test 1"):
        assert not any(all_zero(states) for states in watch.seen[moment])
    # What fit leaves: the end of the training data, with the callback.
    assert_equal(states_of(model), watch.seen["epoch"][1])
    reset_states(model)
    model.predict(X, **BATCHES)
    after_training_data = zip(states_of(model), watch.seen["epoch"][1], strict=True)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in after_training_data) is reset


def test_evaluate_and_predict_with_the_callback_leave_no_trace(model):
    before = states_of(model)
    first = model.predict(X, callbacks=[ResetStates()], **BATCHES)
    again = model.predict(X, callbacks=[ResetStates()], **BATCHES)
    np.testing.assert_array_equal(first, again)
    losses = [model.evaluate(X, Y, callbacks=[ResetStates()], **BATCHES) for _ in range(2)]
    assert losses[0] == losses[1] == pytest.approx(np.mean(first**2), rel=1e-5)
    assert_equal(states_of(model), before)


# Batches


def test_slots_go_on_where_they_ended():
    series = np.arange(24).reshape(12, 2)
    batches = make_stateful_batches(series, slots=3, steps=2)
    assert batches.shape == (6, 2, 2)
    for slot in range(3):
        np.testing.assert_array_equal(
            batches[slot::3].reshape(4, 2), series[4 * slot : 4 * slot + 4]
        )
    assert make_stateful_batches(range(8), slots=2, steps=2).tolist() == [
        [0, 1], [4, 5], [2, 3], [6, 7],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("series", "sizes", "message"),
    [
        (np.zeros(1003), (8, 50), "has 1003 time steps; 8 slots of 50 steps need a multiple of "
                                  "400: drop 203"),
        (np.zeros(7), (8, 1), "has 7 time steps; .* a multiple of 8"),
        ([], (1, 1), "has 0 time steps"),
        (3.0, (1, 1), "has 0 time steps"),
        (np.zeros(8), (0, 2), "slots is 0; it must be a whole number of at least 1"),
        (np.zeros(8), (2, 1.5), "steps is 1.5"),
    ],
)  # fmt: skip
def test_a_series_that_leaves_a_short_batch_is_refused(series, sizes, message):
    with pytest.raises(ValueError, match=message):
        make_stateful_batches(series, slots=sizes[0], steps=sizes[1])


# Twins


def test_a_stateless_twin_takes_any_batch_and_carries_nothing(model):
    twin = stateless_twin(model)
    assert twin.input_shape == (None, None, 3)
    assert states_of(twin) == []
    assert twin.optimizer is not model.optimizer
    reset_states(model)
    expected = model.predict(X[:SLOTS], **BATCHES)
    np.testing.assert_allclose(twin.predict(X, verbose=0)[:SLOTS], expected, atol=1e-6)
    np.testing.assert_allclose(twin(X[1:2]), expected[1:2], atol=1e-6)


def test_a_stateful_twin_goes_on_from_batch_to_batch():
    model = shake(build_stacked(6, 3, units=(4, 3)), np.random.default_rng(2))
    same_weights = model.get_weights()
    open_in_time = keras.Sequential([keras.Input((None, 3)), *model.layers])
    twin = stateful_twin(open_in_time, batch_size=1)
    assert twin.input_shape == (1, None, 3)
    twin(X[:1, :2])
    np.testing.assert_allclose(twin(X[:1, 2:]), model(X[:1]), atol=1e-6)
    assert_equal(twin.get_weights(), same_weights)
    twin.set_weights([w + 1 for w in same_weights])
    assert_equal(model.get_weights(), same_weights)  # nothing is shared


def test_a_twin_of_every_kind_is_stateful_again(model):
    twin = stateful_twin(stateless_twin(model), batch_size=3)
    assert [state.shape[0] for state in states_of(twin)] == [3] * 13
    assert all_zero(states_of(twin))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = L.LSTM(3, stateful=True)

    def call(self, x):
        return self.layer(x)


def test_what_can_not_be_copied_is_refused():
    model = Subclassed()
    model(X)
    with pytest.raises(ValueError, match=r"can't be copied .*twin\.set_weights"):
        stateless_twin(model)
    with pytest.raises(ValueError, match="batch_size is 0"):
        stateful_twin(build_stacked(6, 3), batch_size=0)


# Files


def test_states_come_back_and_the_sequence_goes_on(model, tmp_path):
    path = tmp_path / "states.npz"
    before = states_of(model)
    save_states(model, path)
    expected = model.predict(X[SLOTS:], **BATCHES)
    fresh = build()
    load_states(fresh, str(path))
    assert_equal(states_of(fresh), before)
    np.testing.assert_array_equal(fresh.predict(X[SLOTS:], **BATCHES), expected)
    content = path.read_bytes()
    load_states(model, path)
    save_states(model, path)
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["states.npz"]


def stateful(*layers):
    return keras.Sequential([keras.Input(batch_shape=(SLOTS, None, 3)), *layers])


def test_states_of_half_precision_come_back(tmp_path):
    options = {"dtype": "bfloat16", "recurrent_initializer": "glorot_uniform", "name": "half"}
    models = [stateful(L.LSTM(4, stateful=True, **options)) for _ in range(2)]
    models[0](X[:SLOTS])
    save_states(models[0], tmp_path / "states.npz")
    load_states(models[1], tmp_path / "states.npz")
    assert_equal(states_of(models[1]), states_of(models[0]))


def test_states_of_another_model_are_refused(tmp_path):
    path = tmp_path / "states.npz"
    saved = stateful(L.LSTM(4, stateful=True, name="low"))
    save_states(saved, path)
    for other, message in [
        (L.LSTM(5, stateful=True, name="low"), r"holds \{'low/0': \(2, 4\).* has .*\(2, 5\)"),
        (L.LSTM(4, stateful=True, name="high"), "but model '.*' has .*'high/0'"),
        (L.GRU(4, stateful=True, name="low"), "holds .*'low/1'"),
    ]:
        model = stateful(other)
        with pytest.raises(ValueError, match=message):
            load_states(model, path)
        assert all_zero(states_of(model))
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "pickled.npz", **{"low/0": np.array([{}], object)})
    (tmp_path / "text.npz").write_text("no archive", encoding="utf-8")
    for name in ("array.npy", "pickled.npz", "text.npz"):
        with pytest.raises(ValueError, match=f"{name} isn't a readable file of states"):
            load_states(saved, tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load_states(saved, tmp_path / "none.npz")


# What has no states


def enter(model):
    with kept_states(model):
        pass


@pytest.mark.parametrize(
    "act",
    [
        reset_states,
        enter,
        lambda model: save_states(model, "never.npz"),
        lambda model: load_states(model, "never.npz"),
        lambda model: model.fit(X, Y, callbacks=[ResetStates()], verbose=0),
    ],
)
def test_a_model_without_live_states_is_named(act):
    with pytest.raises(ValueError, match="model 'stacked' has no stateful layer"):
        act(build_stacked(6, 3, units=(2, 2)))


def test_a_layer_that_has_no_states_yet_is_named():
    model = keras.Sequential([L.LSTM(3, stateful=True, name="low")], name="unbuilt")
    with pytest.raises(ValueError, match=r"'low' has no states yet; give model 'unbuilt' a keras"):
        reset_states(model)


def test_recording_names_a_layer_that_has_no_states_yet():
    class Idle(keras.Model):
        def __init__(self):
            super().__init__(name="idle")
            self.low, self.spare = (L.LSTM(3, stateful=s, name=f"low_{s}") for s in (False, True))

        def build(self, shape):
            self.low.build(shape)

        def call(self, x):
            return self.low(x)

    model = Idle()
    model(X)
    with pytest.raises(ValueError, match="'low_True' has no states yet; give model 'idle' a keras"):
        record_traces(model, X)


def test_two_layers_of_one_address_are_refused():
    class Pair(L.Layer):
        def __init__(self):
            super().__init__(name="pair")
            self.one, self.two = (L.LSTM(3, stateful=True, name="low") for _ in range(2))

        def build(self, shape):
            self.one.build(shape)
            self.two.build(shape)

        def call(self, x):
            return self.one(x) + self.two(x)

    with pytest.raises(ValueError, match="two layers have the address 'pair/low'"):
        reset_states(stateful(Pair()))


@pytest.mark.parametrize("layer", [L.LSTM, L.GRU])
def test_pieces_along_time_are_the_whole_forward_and_train_as_stock_keras_does(layer):
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(8 * 300, 3)).astype("float32")
    targets = np.cumsum(inputs, axis=0)[:, :1] / 30
    layers = [layer(5, return_sequences=True), layer(4, return_sequences=True), L.Dense(1)]
    model = keras.Sequential([keras.Input((None, 3)), *layers])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    stock = stateful_twin(model, batch_size=8)
    [block] = [block for block in python_blocks("acceleration.md") if "stateful_twin" in block]
    names = {"model": model, "inputs": inputs, "targets": targets}
    exec(block.replace("epochs=20", "epochs=2, verbose=0").partition("model.set_")[0], names)

    stock.fit(*names["pieces"], batch_size=8, shuffle=False, epochs=2, verbose=0,
              callbacks=[ResetStates()])  # fmt: skip
    for fast, slow in zip(names["twin"].get_weights(), stock.get_weights(), strict=True):
        np.testing.assert_allclose(fast, slow, atol=2e-6)
    reset_states(names["twin"])
    shown = names["twin"].predict(names["pieces"][0], batch_size=8, verbose=0)
    model.set_weights(names["twin"].get_weights())
    whole = model.predict_on_batch(inputs.reshape(8, 300, 3))
    np.testing.assert_allclose(
        shown.reshape(3, 8, 100, 1).swapaxes(0, 1).reshape(whole.shape), whole, atol=1e-6
    )
