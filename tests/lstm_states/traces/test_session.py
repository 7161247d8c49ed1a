import os
import subprocess
import sys
import zipfile
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from lstm_states import (
    StreamingSession,
    TraceError,
    UnsupportedLayerError,
    final_states,
    record_traces,
)
from lstm_states.cells import QUANTITIES
from lstm_states.streaming import advance
from tests.conftest import shake
from tests.lstm_states.oracle import run_layer

L = keras.layers
STEPS = 11


def build(*layers, shape=(None, 4), batch_size=None, dtype=None, seed=0):
    first = keras.Input(shape, batch_size=batch_size, dtype=dtype)
    return shake(keras.Sequential([first, *layers]), np.random.default_rng(seed))


def stack(seed=0, low="low", high="high"):
    """Outputs at every step."""
    cells = [L.SimpleRNNCell(4, name="simple"), L.LSTMCell(3, name="lstm")]
    layers = [
        L.LSTM(5, return_sequences=True, name=low),
        L.RNN(cells, return_sequences=True, name=high),
    ]
    return build(*layers, L.Dense(2), seed=seed)


def embedding():
    """One output at the end; the mask is made inside."""
    layers = [L.GRU(5, return_sequences=True, name="low"), L.LSTM(3, name="high"), L.Dense(2)]
    return build(L.Embedding(7, 4, mask_zero=True), *layers, shape=(None,), dtype="int32")


class Case:
    """A model, a session to copy, and Keras's own call on whole sequences."""

    def __init__(self, model):
        self.model = model
        self.fresh = StreamingSession(model, samples=3)
        # Within `call` Keras doesn't warn that the mask ends with the model.
        self.keras = tf.function(
            lambda x, mask=None: model.call(x, mask=mask), reduce_retracing=True, autograph=False
        )

    def session(self):
        return self.fresh.copy()


@pytest.fixture(scope="module")
def stacked():
    return Case(stack())


@pytest.fixture(scope="module")
def embedded():
    return Case(embedding())


def draw(seed, kind="random"):
    """Sequences and a mask: beginnings, ends, gaps and whole rows are masked."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, STEPS, 4)).astype("float32")
    if kind == "left":
        return x, np.arange(STEPS) >= rng.integers(0, STEPS, (3, 1))
    if kind == "right":
        return x, np.arange(STEPS) < rng.integers(0, STEPS, (3, 1))
    return x, rng.random((3, STEPS)) < (0.5 if kind == "random" else 2)


cuts = st.sets(st.integers(1, STEPS - 1)).map(lambda inner: [0, *sorted(inner), STEPS])
kinds = st.sampled_from(["none", "random", "left", "right"])
seeds = st.integers(0, 2**16)


def pieces(cuts):
    return [slice(first, last) for first, last in pairwise(cuts)]


def assert_states(states, expected, atol=1e-6):
    assert states.keys() == expected.keys()
    for address in states:
        assert len(states[address]) == len(expected[address])
        for given_, wanted in zip(states[address], expected[address], strict=True):
            np.testing.assert_allclose(given_, wanted, atol=atol, err_msg=address)


# However a sequence is cut, it's the sequence


@given(cuts=cuts, kind=kinds, seed=seeds)
def test_pieces_equal_kerass_own_call(stacked, cuts, kind, seed):
    x, mask = draw(seed, kind)
    session = stacked.session()
    shown = [session.run(x[:, piece], mask=mask[:, piece]) for piece in pieces(cuts)]
    assert session.steps == STEPS
    expected = stacked.keras(x, tf.constant(mask))
    np.testing.assert_allclose(np.concatenate(shown, 1), expected, atol=2e-6)
    assert_states(session.states, final_states(record_traces(stacked.model, x, mask=mask)), 2e-6)


@given(cuts=cuts, kind=kinds, seed=seeds)
def test_recorded_pieces_are_the_recorded_whole(stacked, cuts, kind, seed):
    x, mask = draw(seed, kind)
    session = stacked.session()
    trees = [session.record(x[:, piece], mask=mask[:, piece]) for piece in pieces(cuts)]
    whole = record_traces(stacked.model, x, mask=mask)
    assert trees[0].attrs == whole.attrs
    for node in whole.subtree:
        for name, variable in node.data_vars.items():
            parts = [tree[node.path][name].values for tree in trees]
            if "time" in variable.dims:
                parts = [np.concatenate(parts, 1)]
            place = 0 if name.startswith("initial") else -1
            np.testing.assert_allclose(parts[place], variable, atol=2e-6, err_msg=name)


@given(cuts=cuts, kind=kinds, seed=seeds)
def test_a_mask_made_inside_and_one_output(embedded, cuts, kind, seed):
    """The output after each piece is that of a call on the sequence up to there."""
    x, mask = draw(seed, kind)
    tokens = np.where(mask, 1 + (100 * np.abs(x[..., 0])).astype(int) % 6, 0)
    session = embedded.session()
    for piece in pieces(cuts):
        take = session.step if piece.stop - piece.start == 1 else session.run
        part = tokens[:, piece.start] if take == session.step else tokens[:, piece]
        expected = embedded.keras(tokens[:, : piece.stop].astype("int32"))
        np.testing.assert_allclose(take(part), expected, atol=2e-6)


def test_single_steps_are_shown_without_time(stacked):
    x, _ = draw(9)
    session = stacked.session()
    shown = [session.step(x[:, t]) for t in range(STEPS)]
    np.testing.assert_allclose(np.stack(shown, 1), stacked.keras(x), atol=2e-6)


def test_states_are_those_of_the_equations(stacked):
    x, _ = draw(5)
    session, layer = stacked.session(), stacked.model.get_layer("low")
    expected, _ = run_layer(layer, x)
    for t in range(STEPS):
        session.step(x[:, t])
        h, c = session.states["low"]
        np.testing.assert_allclose(h, expected["hidden"][:, t], atol=1e-5)
        np.testing.assert_allclose(c, expected["cell"][:, t], atol=1e-5)


def test_a_masked_step_changes_nothing_and_shows_the_last_output(stacked):
    x, _ = draw(1)
    plain, paused = stacked.session(), stacked.session()
    for t in range(4):
        plain.step(x[:, t])
        paused.step(x[:, t])
        paused.step(x[:, 9 - t], mask=np.zeros(3, bool))
    assert (plain.steps, paused.steps) == (4, 8)
    assert_states(paused.states, plain.states, 0)


def test_initial_states_and_reset(stacked, rng):
    x, _ = draw(2)
    first = stacked.session()
    first.run(x[:, :6])
    session = StreamingSession(stacked.model, samples=3, initial_state=first.states)
    np.testing.assert_allclose(session.run(x[:, 6:]), stacked.keras(x)[:, 6:], atol=2e-6)
    start = {"high": [rng.normal(size=(3, n)) for n in (4, 3, 3)]}  # float64, as NumPy draws
    session.reset(start)
    assert session.steps == 0
    expected = record_traces(stacked.model, x, initial_state=start)
    np.testing.assert_allclose(session.run(x), expected["outputs"], atol=2e-6)
    session.reset()
    assert not any(state.any() for states in session.states.values() for state in states)
    np.testing.assert_allclose(session.run(x), stacked.keras(x), atol=2e-6)


def test_selected_layers_and_quantities_are_recorded_and_all_states_go_on(stacked):
    x, _ = draw(3)
    session = stacked.session()
    session.run(x[:, :5])
    tree = session.record(x[:, 5:], layers="low", quantities=["cell"])
    whole = record_traces(stacked.model, x)
    assert list(tree.children) == ["low"]
    np.testing.assert_allclose(tree["low/cell"], whole["low/cell"][:, 5:], atol=2e-6)
    assert set(QUANTITIES) & set(tree["low"].data_vars) == {"cell"}
    assert_states(session.states, final_states(whole), 2e-6)


# Copies, files, other models


def test_a_copy_goes_its_own_way(stacked):
    x, _ = draw(4)
    session = stacked.session()
    session.run(x[:, :5])
    before = session.states
    twin = session.copy()
    twin.run(x[:, 5:])
    assert (session.steps, twin.steps) == (5, STEPS)
    assert_states(session.states, before, 0)
    session.states["low"][0][:] = 7  # what is handed out is a copy too
    assert_states(session.states, before, 0)
    session.run(x[:, 5:])
    assert_states(session.states, twin.states, 0)


def test_saved_in_the_middle_of_a_gap_it_goes_on_in_the_same_bits(stacked, tmp_path):
    x, mask = draw(6, "left")
    mask[:, 4:7] = False
    session = stacked.session()
    session.run(x[:, :5], mask=mask[:, :5])
    path = tmp_path / "session.npz"
    session.save(path)
    session.save(path)  # replaces the file, and leaves nothing else
    assert os.listdir(tmp_path) == ["session.npz"]
    loaded = StreamingSession.load(path, stacked.model)
    assert (loaded.steps, loaded.samples) == (5, 3)
    rest = x[:, 5:], mask[:, 5:]
    np.testing.assert_array_equal(
        loaded.run(rest[0], mask=rest[1]), session.run(rest[0], mask=rest[1])
    )
    assert_states(loaded.states, session.states, 0)
    with zipfile.ZipFile(path) as archive:
        assert all(name.endswith(".npy") for name in archive.namelist())
    with np.load(path, allow_pickle=False) as arrays:
        assert not any(arrays[name].dtype.hasobject for name in arrays.files)


# Keras's own saving
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_stateful_model_its_stateless_twin_and_one_from_a_file(tmp_path):
    def model(name, **options):
        layers = [L.LSTM(3, name=name, stateful="batch_size" in options), L.Dense(1)]
        return build(*layers, **options)

    live, twin = model("live", batch_size=2), model("twin")
    x = np.random.default_rng(0).normal(size=(2, 8, 4)).astype("float32")
    live.predict(x, verbose=0)
    kept = [state.numpy() for state in live.layers[0].states]
    session = StreamingSession(live, samples=2)
    np.testing.assert_allclose(session.run(x[:, :5]), twin(x[:, :5]), atol=2e-6)  # from zeros
    twin.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    moved = [session.to(twin), session.to(loaded), session]
    assert [each.model for each in moved] == [twin, loaded, live]
    assert [list(each.states) for each in moved] == [["twin"], ["twin"], ["live"]]
    for each in moved:
        assert each.steps == 5
        np.testing.assert_allclose(each.run(x[:, 5:]), twin(x), atol=2e-6)
    for state, before in zip(live.layers[0].states, kept, strict=True):
        np.testing.assert_array_equal(state.numpy(), before)
    # Live states are handed over where they are wanted.
    session.reset({"live": kept})
    np.testing.assert_allclose(session.run(x), live.predict(x, verbose=0), atol=2e-6)
    with pytest.raises(ValueError, match=r"shape \(2, None, 4\), so samples must be 2, not 1"):
        StreamingSession(live)


def test_other_weights_and_other_cells_are_refused_by_name(embedded, tmp_path):
    session = embedded.session()
    session.save(tmp_path / "s.npz")

    def low(units=5, activation="tanh", layer=L.GRU):
        low = layer(units, activation=activation, return_sequences=True, name="low")
        return build(low, L.LSTM(3, name="top"), L.Dense(2), seed=1)

    for other, message in [
        (low(), r"belongs to weights with SHA-256 [0-9a-f]{12}\.\.\., but those of model"),
        (low(6), r"at cell 'low' with units 5, but 'low' of model 'sequential.*' has 6"),
        (low(5, "relu"), "at cell 'low' with activation 'tanh', but .* has 'relu'"),
        (low(5, layer=L.LSTM), "at cell 'low' with cell 'GRU', but .* has 'LSTM'"),
        (build(L.LSTM(5, name="one")), r"cells \['low', 'high'\], but model .* has \['one'\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            session.to(other)
        with pytest.raises(ValueError, match=r"the session in .*s\.npz"):
            StreamingSession.load(tmp_path / "s.npz", other)


def test_files_that_are_no_sessions_are_refused(embedded, tmp_path):
    path = tmp_path / "bad.npz"
    with pytest.raises(FileNotFoundError, match="no session at"):
        StreamingSession.load(path, embedded.model)
    path.write_bytes(b"not a zip file")
    with pytest.raises(ValueError, match=r"bad\.npz isn't a readable session"):
        StreamingSession.load(path, embedded.model)
    np.savez(path, session=np.array({"format": "x"}, dtype=object))  # pickled
    with pytest.raises(ValueError, match=r"bad\.npz isn't a readable session"):
        StreamingSession.load(path, embedded.model)
    embedded.session().save(path)
    with np.load(path) as arrays:
        stored = dict(arrays)
    np.savez(path, **{**stored, "state_1_0": stored["state_1_0"][:, 1:]})
    with pytest.raises(ValueError, match=r"\(3, 2\).*hidden of 'high'"):
        StreamingSession.load(path, embedded.model)
    del stored["state_1_0"]
    np.savez(path, **stored)
    with pytest.raises(ValueError, match="state_1_0"):
        StreamingSession.load(path, embedded.model)


def test_weights_that_changed_under_a_session_are_noticed(tmp_path):
    model = build(L.LSTM(2))
    session = StreamingSession(model)
    session.run(np.ones((1, 3, 4)))
    shake(model, np.random.default_rng(1))
    with pytest.raises(ValueError, match="have changed since the session began"):
        session.save(tmp_path / "s.npz")
    session.reset()
    session.save(tmp_path / "s.npz")


STREAM = """
import keras, numpy as np
from lstm_states import StreamingSession

layers = [keras.Input((None, 3)), keras.layers.LSTM(4)]
session = StreamingSession(keras.Sequential(layers))
session.step(np.ones((1, 3)))
"""


def test_a_step_writes_nothing_where_keras_was_imported_first():
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", STREAM],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert "tensorflow" in done.stderr.lower()  # its greetings: it isn't silenced
    assert "BlockLSTM" not in done.stderr


# What can't be streamed


def functional(make):
    inputs = keras.Input((None, 4))
    return keras.Model(inputs, make(inputs))


def attention(x):
    h = L.LSTM(3, return_sequences=True)(x)
    return L.Dense(1)(L.Attention()([h, h]))


def encoder_decoder(x):
    _, h, c = L.LSTM(3, return_state=True, name="encoder")(x)
    return L.LSTM(3, name="decoder")(x, initial_state=[h, c])


def sequences(*layers):
    return lambda: build(L.LSTM(3, return_sequences=True), *layers)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: build(L.Bidirectional(L.LSTM(3), name="b")), "layer 'b/backward' runs backwards"),
        (lambda: build(L.GRU(3, go_backwards=True, name="g")), "layer 'g' runs backwards"),
        (
            lambda: build(L.Conv1D(4, 3, padding="causal"), L.LSTM(3, name="l")),
            r"can't be streamed.*final states of layer 'l' differ by",
        ),
        (sequences(L.Conv1D(2, 2, padding="causal", dilation_rate=30)), "output 0 differs by"),
        (sequences(L.Conv1D(2, 3)), "a piece of length 1 fails"),
        (sequences(L.MaxPooling1D(2), L.LSTM(2, name="top")), "can't be streamed"),
        (sequences(L.GlobalAveragePooling1D()), "output 0 differs by"),
        (lambda: functional(attention), "output 0 differs by"),
        (lambda: functional(encoder_decoder), "initial states of layer 'decoder' differ"),
        (lambda: build(L.RNN(L.StackedRNNCells([Own()]), name="own")), "'own' can't be traced"),
    ],
)
def test_layers_that_mix_time_steps_are_refused(make, reason):
    with pytest.raises(UnsupportedLayerError, match=f"(?s){reason}"):
        StreamingSession(make())


class Own(L.Layer):
    """Carries two states, one wider than the other."""

    state_size = (3, 2)
    output_size = 2

    def call(self, inputs, states):
        return states[1], states


def test_layers_that_take_each_step_by_itself_are_streamed(rng):
    inputs = keras.Input((None, 6, 4), name="frames")
    frames = L.TimeDistributed(L.Conv1D(3, 2))(inputs)
    flat = L.TimeDistributed(L.Flatten())(frames)
    normal = L.LayerNormalization()(L.Dropout(0.5)(L.BatchNormalization()(flat)))
    other = keras.Input((None, 2), name="other")
    h = L.LSTM(3, return_sequences=True)(L.Concatenate()([normal, other]))
    model = keras.Model(
        {"frames": inputs, "other": other},
        {"each": L.Dense(2)(h), "last": L.Lambda(lambda h: h[:, -1])(h)},
    )
    weights = shake(model, rng).get_weights()
    model.set_weights([abs(w) if len(w.shape) == 1 else w for w in weights])  # variances
    session = StreamingSession(model, samples=2)
    x = {"frames": rng.normal(size=(2, 5, 6, 4)), "other": rng.normal(size=(2, 5, 2))}
    whole = model({name: values.astype("float32") for name, values in x.items()})
    for t in range(5):
        shown = session.step({name: values[:, t] for name, values in x.items()})
        np.testing.assert_allclose(shown["each"], whole["each"][:, t], atol=2e-6)
    np.testing.assert_allclose(shown["last"], whole["last"], atol=2e-6)
    with pytest.raises(ValueError, match=r"x is a ndarray; the model expects 2 inputs, .*'other'"):
        session.run(x["other"])
    with pytest.raises(ValueError, match=r"the inputs have \[3, 5\] steps"):
        session.run({**x, "other": x["other"][:, :3]})
    with pytest.raises(ValueError, match=r"mask has shape .* for 2 inputs"):
        session.run(x, mask=np.ones((2, 5), bool))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build(L.LSTM(3), shape=(7, 4)), r"keras.Input\(\(None, 4\)\)"),
        (lambda: stack(), "samples is 0; it must be a whole number of at least 1"),
        (lambda: keras.Sequential([L.LSTM(3)]), "no weights yet"),
    ],
)
def test_models_and_arguments_that_do_not_fit(make, message):
    samples = 0 if "samples" in message else 1
    with pytest.raises(ValueError, match=message):
        StreamingSession(make(), samples=samples)


def test_a_model_without_an_input_is_told_how_to_get_one():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.lstm = L.LSTM(2, name="lstm")

        def call(self, x):
            return self.lstm(x)

    model = Subclassed()
    model(np.zeros((1, 3, 4), "float32"))
    with pytest.raises(ValueError, match=r"wrap it: keras\.Model\(inputs, model\(inputs\)\)"):
        StreamingSession(model)
    inputs = keras.Input((None, 4))
    session = StreamingSession(keras.Model(inputs, model(inputs)))
    x = np.ones((1, 3, 4), "float32")
    np.testing.assert_allclose(session.run(x), model(x), atol=1e-6)


def test_what_does_not_fit_leaves_the_session_as_it_was(stacked, embedded):
    x, mask = draw(8)[0], np.ones((3, STEPS), bool)
    session = stacked.session()
    session.run(x[:, :2])
    before = session.states
    for call, error, message in [
        (lambda: session.run(x[:2]), ValueError, r"expects 3 samples, .*receives \(2, 11, 4\)"),
        (lambda: session.run(x[:, :0]), ValueError, "at least 1 step"),
        (lambda: session.run(x[..., :3]), ValueError, r"and then \(4,\)"),
        (lambda: session.step(x), ValueError, r"expects 3 samples, \(4,\) .*receives \(3, 11, 4\)"),
        (lambda: session.run(x, mask=mask[:, 1:]), ValueError, r"it must be \(3, 11\)"),
        (lambda: session.run(np.where(mask, np.nan, 0)[..., None] + x), TraceError, "returns NaN"),
        (lambda: session.record(x, quantities=["cel"]), ValueError, "quantities is"),
        (lambda: session.record(x, layers="lo"), ValueError, "no recurrent layer matches 'lo'"),
        (lambda: session.reset({"lowest": 0}), ValueError, "initial_state names 'lowest'"),
    ]:
        with pytest.raises(error, match=message):
            call()
        assert session.steps == 2
        assert_states(session.states, before, 0)
    # The Embedding replaces the mask that is given.
    with pytest.raises(ValueError, match="mask reaches none of the layers"):
        embedded.session().run(np.ones((3, STEPS)), mask=~mask)


def test_lists_are_taken_and_what_is_no_array_is_named(stacked):
    x = draw(8)[0]
    session, listed = stacked.session(), stacked.session()
    for t in range(2):
        expected = session.step(x[:, t])
        np.testing.assert_array_equal(listed.step(x[:, t].tolist()), expected)
    np.testing.assert_array_equal(listed.run([x[:, 2:]]), session.run(x[:, 2:].tolist()))
    for wrong, message in [
        ([1.0, 2.0, 3.0, 4.0], r"expects 3 samples, \(4,\) of float32; it receives \(4,\)"),
        ([[1.0, 2.0], [3.0], [4.0]], "no shape or no numbers"),
        (None, "no shape or no numbers"),
        (1.5, r"it receives \(\)"),
        (np.full((3, 4), "a"), "it receives string"),
        (x[:, 0] * 1j, "it receives complex64"),
        ({"x": x[:, 0]}, "no shape or no numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            session.step(wrong)
    for mask in (True, [True], np.ones((3, 1), bool)):
        with pytest.raises(ValueError, match=r"for one step it must be \(3,\)"):
            session.step(x[:, 0], mask=mask)
    for samples in ("2", 2.5, True):
        with pytest.raises(ValueError, match=r"samples is .* a whole number of at least 1"):
            StreamingSession(stacked.model, samples=samples)
    for start, message in [
        (np.zeros((3, 4)), "initial_state is a ndarray; it must be a dict"),
        ({"low": [np.full((3, 5), "a"), np.zeros((3, 5))]}, "states are real numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            session.reset(start)


def test_inputs_without_time_are_told_what_they_are():
    x, h, c = keras.Input((None, 4)), keras.Input((3,), name="h"), keras.Input((3,), name="c")
    layer = L.LSTM(3, return_sequences=True, return_state=True, name="decoder")
    decoder = keras.Model([x, h, c], layer(x, initial_state=[h, c]))
    with pytest.raises(ValueError, match=r"(?s)input 'h' .*is an initial state of layer 'decoder'"):
        StreamingSession(decoder)
    # What the message advises.
    session = StreamingSession(
        keras.Model(x, layer(x)), samples=2, initial_state={"decoder": [np.ones((2, 3))] * 2}
    )
    steps = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    expected = decoder.predict([steps, np.ones((2, 3)), np.ones((2, 3))], verbose=0)[0]
    np.testing.assert_allclose(session.run(steps)[0], expected, atol=2e-6)
    context = keras.Input((2,), name="context")
    dense = L.Dense(3)(context)
    told = keras.Model([x, context], L.LSTM(3)(x, initial_state=[dense, dense]))
    with pytest.raises(ValueError, match=r"'context' has shape \(None, 2\), without a time axis"):
        StreamingSession(told)


def test_a_session_that_differs_from_the_whole_is_not_made(monkeypatch):
    """The proof itself: states that are lost on the way are noticed."""
    true = advance.advance

    def forgetful(*given):
        outputs, nodes, after = true(*given)
        position = given[-1]
        return outputs, nodes, advance.Position(position.states, after.started, after.steps)

    monkeypatch.setattr(advance, "advance", forgetful)
    with pytest.raises(UnsupportedLayerError, match="final states of layer 'l' differ"):
        StreamingSession(build(L.LSTM(3, name="l")))


def test_half_precision_and_float64(rng):
    x = rng.normal(size=(1, 6, 4))
    double = build(L.LSTM(3, dtype="float64"), dtype="float64")
    session = StreamingSession(double)
    for t in range(6):
        shown = session.step(x[:, t])
    np.testing.assert_allclose(shown, double(x), atol=1e-12)
    mixed = build(L.LSTM(3, dtype="mixed_float16"))
    session = StreamingSession(mixed)
    session.run(x[:, :3])
    np.testing.assert_allclose(session.run(x[:, 3:]), mixed(x), atol=1e-2)
