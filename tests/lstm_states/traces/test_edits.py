"""Edits against the equations in NumPy with the same edits, and what is refused."""

import gc
import json
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from lstm_states import (
    Edit,
    StreamingSession,
    TraceError,
    UnsupportedLayerError,
    check_traces,
    join_traces,
    open_traces,
    record_gradients,
    record_traces,
)
from lstm_states.cells import KINDS
from lstm_states.traces.compiled import _COMPILED
from lstm_states.traces.edit_plans import describe_edits
from tests.conftest import shake
from tests.lstm_states.traces.models import (
    MASKS,
    assert_close,
    in_batches,
    make_mask,
    make_states,
    run_stack,
)

L = keras.layers
LAYERS = {"LSTM": L.LSTM, "GRU": L.GRU, "SimpleRNN": L.SimpleRNN}
ACTIONS = ("set", "add", "scale", "clamp", "hold", "swap", "function")


def places(size, rng, *, whole):
    """Return where an edit is along an axis, as users write it, and the indices that means."""
    kinds = {
        "all": None,
        "one": int(rng.integers(size)),
        "negative": -int(rng.integers(1, size + 1)),
        "slice": slice(int(rng.integers(size)), None),
        "some": rng.permutation(size)[: rng.integers(1, size + 1)].tolist(),
    }
    wanted = None if whole else kinds[rng.choice(list(kinds))]
    return wanted, np.atleast_1d(np.arange(size)[slice(None) if wanted is None else wanted])


def random_edit(layer, width, shape, rng):
    """Return a random edit of ``layer``, and the same as the NumPy run takes it."""
    kind = KINDS[type(layer).__name__]
    starts = [f"initial_{name}" for name in kind.states]
    quantity = str(rng.choice([*kind.quantities, *kind.quantities, "inputs", *starts]))
    initial, units = quantity in starts, width if quantity == "inputs" else layer.units
    actions = [a for a in ACTIONS if not (a == "hold" and initial) and (a != "swap" or units > 1)]
    action = str(rng.choice(actions))
    sample, rows = places(shape[0], rng, whole=rng.random() < 0.3)
    time, steps = places(shape[1], rng, whole=initial or rng.random() < 0.3)
    unit, chosen = places(units, rng, whole=action == "swap" or rng.random() < 0.3)
    sizes = [len(rows), *([] if initial else [len(steps)]), len(chosen)]
    small = [size if rng.random() < 0.5 else 1 for size in sizes][rng.integers(len(sizes)) :]
    values = rng.normal(size=small)
    whole = np.zeros((*shape, units))
    by_step = values[:, np.newaxis] if initial and values.ndim > 1 else values
    whole[np.ix_(rows, range(shape[1]) if initial else steps, chosen)] = by_step
    pair = rng.permutation(units)[:2].tolist()
    low, high = np.sort(rng.normal(size=2) / 2)
    what = {
        "set": values,
        "add": values,
        "scale": values,
        "clamp": (low, None if rng.random() < 0.3 else high),
        "hold": True,
        "swap": tuple(pair),
        "function": lambda value: tf.cos(value),
    }[action]
    edit = Edit(layer.name, quantity, **{action: what}, sample=sample, time=time, unit=unit)

    def change(value, before, sample, step):
        own = whole[sample, step]
        if action == "swap":
            order = np.arange(units)
            order[pair] = pair[::-1]
            return value[order]
        new = {
            "set": lambda: own,
            "add": lambda: value + own,
            "scale": lambda: value * own,
            "clamp": lambda: np.clip(value, what[0], what[1]),
            "hold": lambda: value if before is None else before,
            "function": lambda: np.cos(value),
        }[action]()
        return np.where(np.isin(np.arange(units), chosen), new, value)

    where = np.zeros(shape, bool)
    where[np.ix_(rows, range(shape[1]) if initial else steps)] = True
    return edit, (quantity, change, where)


@given(
    kinds=st.tuples(*[st.sampled_from([*LAYERS, "LSTM"])] * 2),
    units=st.tuples(*[st.integers(1, 4)] * 2),
    backwards=st.booleans(),
    shape=st.tuples(st.sampled_from([1, 3, 17]), st.integers(1, 8)),
    mask_kind=st.sampled_from(MASKS),
    starts=st.booleans(),
    number=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_edits_equal_the_equations_with_the_same_edits(
    kinds, units, backwards, shape, mask_kind, starts, number, seed
):
    keras.backend.clear_session()
    rng = np.random.default_rng(seed)
    layers = [
        LAYERS[kind](size, return_sequences=True, name=f"layer_{n}", go_backwards=backwards)
        for n, (kind, size) in enumerate(zip(kinds, units, strict=True))
    ]
    model = keras.Sequential([keras.Input((shape[1], 3)), *layers])
    shake(model, rng)
    x = rng.normal(size=(*shape, 3)).astype("float32")
    mask = make_mask(mask_kind, rng, shape)
    states = {a.name: make_states(a, rng, shape[0]) for a in layers} if starts else {}
    widths = {layers[0].name: 3, layers[1].name: units[0]}
    drawn = []
    for _ in range(number):
        layer = layers[rng.integers(2)]
        drawn.append((layer.name, *random_edit(layer, widths[layer.name], shape, rng)))
    own = {a.name: [numpy for name, _, numpy in drawn if name == a.name] for a in layers}
    edits = [edit for _, edit, _ in drawn]
    expected, shown = run_stack(layers, x, mask, states=states, edits=own)
    real = np.ones(shape, bool) if mask is None else mask
    if any(touches_nothing(edit, numpy, real, backwards) for _, edit, numpy in drawn):
        with pytest.raises(ValueError, match="touches nothing"):
            record_traces(model, x, mask=mask, initial_state=states, edits=edits)
        return
    traces = record_traces(model, x, mask=mask, initial_state=states, edits=edits)
    for address, quantities in expected.items():
        for name, values in quantities.items():
            assert_close(traces[address][name], values, 5e-6, f"{name} of {address}: {edits}")
    assert_close(traces["outputs"], shown, 5e-6, f"outputs: {edits}")
    peak = max(float(np.abs(values["hidden"]).max()) for values in expected.values())
    residuals = check_traces(traces).to_dataarray()
    assert np.nanmax(residuals) <= 5e-6 * (1 + peak)


def touches_nothing(edit, numpy, real, backwards):
    quantity, _, where = numpy
    if quantity.startswith("initial_"):
        return False
    counts = real.copy()
    if edit.hold and quantity not in ("hidden", "cell"):
        steps = counts[:, ::-1] if backwards else counts
        first = np.cumsum(steps, 1) == 1
        counts &= ~(first[:, ::-1] if backwards else first)
    return not (where & counts).any()


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    made = keras.Sequential(
        [
            keras.Input((None, 3)),
            L.LSTM(5, return_sequences=True, name="a"),
            L.GRU(4, return_sequences=True, name="b"),
            L.Dense(1),
        ]
    )
    shake(made, np.random.default_rng(1))
    return made


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(2).normal(size=(6, 12, 3)).astype("float32")


def test_the_model_stays_as_it_is(model, x):
    before = record_traces(model, x)
    record_traces(model, x, edits=[Edit("a", "cell", set=0.0)])
    after = record_traces(model, x)
    assert before.identical(after)
    assert "edits" not in after.attrs
    assert "edited" not in after["a"]


def test_a_trace_says_what_was_edited_and_where(model, x):
    mask = np.ones((6, 12), bool)
    mask[:, 8:] = False
    values = np.arange(400.0).reshape(100, 4)[:6, np.newaxis]
    edits = [
        Edit("a", "cell", set=0.0, time=slice(6, 10), sample=[0, 2]),
        Edit("b", "update_gate", add=values, time=3),
        Edit("b", "inputs", scale=2.0, time=4),
    ]
    traces = record_traces(model, x, mask=mask, edits=edits)
    edited = np.zeros((6, 12), bool)
    edited[np.ix_([0, 2], [6, 7])] = True  # not the masked ones
    np.testing.assert_array_equal(traces["a/edited"], edited)
    steps = np.isin(np.arange(12), [3, 4])
    np.testing.assert_array_equal(traces["b/edited"], steps & mask)
    first, second, third = map(json.loads, traces.attrs["edits"])
    assert first == {
        "layer": "a",
        "quantity": "cell",
        "set": 0.0,
        "sample": [0, 2],
        "time": {"slice": [6, 10, None]},
    }
    assert second["add"] == values.tolist()
    assert third["scale"] == 2.0


def test_patching_all_states_makes_the_other_run(model, x):
    other = record_traces(model, x[::-1].copy())
    patched = record_traces(model, x, edits=[Edit("a", "hidden", set=other["a/hidden"])])
    np.testing.assert_array_equal(patched["outputs"], other["outputs"])
    mean = other["a/cell"].mean("sample")
    ablated = record_traces(model, x, edits=[Edit("a", "cell", set=mean, unit=[1, 3])])
    for unit in (1, 3):
        np.testing.assert_array_equal(
            ablated["a/cell"][..., unit], np.broadcast_to(mean[:, unit], (6, 12))
        )


def test_an_array_is_laid_out_as_its_places_are_named(model, x):
    """NumPy arrays by the order that is chosen, DataArrays by their labels or their size."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(6, 12, 5)).astype("float32")
    time, unit, sample = rng.permutation(12).tolist(), [3, 1], [5, 0]
    whole = xr.DataArray(values, dims=("sample", "time", "unit"))
    labelled = whole.assign_coords(time=range(12), unit=range(5), sample=range(6))
    part = values[np.ix_(sample, time, unit)]
    chosen = whole.isel(sample=sample, time=time, unit=unit)
    for layout in (
        part,
        whole,
        labelled,
        labelled.transpose("unit", "sample", "time"),
        labelled.isel(sample=sample, time=time, unit=unit),
        labelled.isel(time=time, unit=unit[::-1]),
        labelled[:, ::-1],
        chosen[:, np.argsort(time)],  # as many steps as there are: all of them, in their order
    ):
        edit = Edit("a", "cell", set=layout, sample=sample, time=time, unit=unit)
        found = record_traces(model, x, edits=[edit])["a/cell"].values
        np.testing.assert_array_equal(found[np.ix_(sample, time, unit)], part)
    few = whole.isel(time=[7, 2])
    traces = record_traces(model, x, edits=[Edit("a", "cell", set=few, time=[7, 2])])
    np.testing.assert_array_equal(traces["a/cell"][:, [7, 2]], few)
    backwards = Edit("a", "cell", set=values[0], time=slice(None, None, -1), sample=0)
    np.testing.assert_array_equal(
        record_traces(model, x, edits=[backwards])["a/cell"][0], values[0, ::-1]
    )
    for dim, label in (("sample", 4), ("unit", 2), ("time", 3)):
        wrong = labelled.isel({dim: [label]})
        edit = Edit("a", "cell", set=wrong, **{dim: [0, 1]})
        with pytest.raises(ValueError, match=rf"labelled with others than {dim} \[0, 1\]"):
            record_traces(model, x, edits=[edit])


def test_edits_may_come_from_a_generator(model, x):
    edits = [Edit("a", "cell", set=0.0, time=t) for t in (1, 2)]
    expected = record_traces(model, x, edits=edits)
    assert record_traces(model, x, edits=(edit for edit in edits)).identical(expected)
    for wrong in (None, edits[0], ["cell"]):
        with pytest.raises(ValueError, match="it must be a list of lstm_states"):
            record_traces(model, x, edits=wrong)
        with pytest.raises(ValueError, match="it must be a list of lstm_states"):
            StreamingSession(model, edits=wrong)


def test_a_sweep_is_compiled_once_and_keeps_nothing():
    keras.utils.set_random_seed(0)
    swept = keras.Sequential([keras.Input((12, 3)), L.GRU(4, name="a"), L.Dense(1)])
    x = np.ones((3, 12, 3), "float32")
    values = np.zeros((3, 1, 4), "float32")
    first = Edit("a", "hidden", set=values, time=0)
    record_traces(swept, x, edits=[first])
    kept = weakref.ref(first)
    del first
    compiled = len(_COMPILED[swept])
    for t in range(1, 6):
        record_traces(swept, x, edits=[Edit("a", "hidden", set=values + t, time=t)])
    assert len(_COMPILED[swept]) == compiled
    for t in range(3):
        record_traces(swept, x, edits=[Edit("a", "hidden", set=0.0, time=slice(t, t + 5))])
    assert len(_COMPILED[swept]) <= compiled + 1
    gc.collect()
    assert kept() is None

    def function(value):
        return value * 0

    for t in range(3):
        record_traces(swept, x, edits=[Edit("a", "hidden", function=function, time=t)])
    assert len(_COMPILED[function]) == 1
    before = len(_COMPILED)
    del function
    gc.collect()
    assert len(_COMPILED) == before - 1


@pytest.mark.parametrize("size", [1, 4, 6])
def test_batches_make_no_difference(model, x, size):
    values = np.random.default_rng(0).normal(size=(3, 2, 5))
    edits = [Edit("a", "cell", add=values, sample=[5, 0, 3], time=[2, 7])]
    whole = record_traces(model, x, edits=edits)
    parts = record_traces(model, x, edits=edits, batch_size=size)
    np.testing.assert_allclose(parts["outputs"], whole["outputs"], atol=1e-6)
    chosen = record_traces(model, x, edits=edits, isel={"sample": [3, 4]})
    np.testing.assert_allclose(chosen["outputs"], whole["outputs"][[3, 4]], atol=1e-6)
    streamed = record_traces(model, iter([x[:2], x[2:]]), edits=edits)
    np.testing.assert_allclose(streamed["outputs"], whole["outputs"], atol=1e-6)


def test_a_store_knows_its_edits(model, x, tmp_path):
    edits = [Edit("a", "cell", set=0.0, time=4)]
    stored = record_traces(model, x, edits=edits, store=tmp_path / "t.zarr", batch_size=2)
    assert stored.attrs["edits"] == open_traces(tmp_path / "t.zarr").attrs["edits"]
    whole = record_traces(model, x, edits=edits)
    for name in ("a/cell", "a/edited", "outputs"):
        np.testing.assert_allclose(stored[name], whole[name], atol=1e-6)


def test_a_store_is_continued_with_its_edits_and_no_others(model, x, tmp_path):
    edits = [Edit("a", "cell", set=0.0, time=4, sample=[0])]
    store = tmp_path / "t.zarr"
    with pytest.raises(KeyboardInterrupt):
        record_traces(model, in_batches(x, 2, stop=4), edits=edits, store=store)
    other = [Edit("a", "cell", set=1.0, time=4, sample=[0])]
    with pytest.raises(ValueError, match="another recording"):
        record_traces(model, in_batches(x, 2), edits=other, store=store)
    resumed = record_traces(model, in_batches(x, 2), edits=edits, store=store)
    np.testing.assert_allclose(
        resumed["outputs"], record_traces(model, x, edits=edits)["outputs"], atol=1e-6
    )
    digests = {
        json.loads(describe_edits([Edit("a", "cell", function=f)])["edits"][0])["function"][
            "sha256"
        ]
        for f in (lambda v: v * 0, lambda v: v * 0 + 7, lambda v: v + 1)
    }
    assert len(digests) == 3


def test_a_session_edits_as_a_recording_does(model, x):
    edits = [
        Edit("a", "cell", set=0.0, time=5, unit=[1, 3]),
        Edit("b", "hidden", hold=True, time=slice(4, 8), sample=[0]),
        Edit("a", "initial_cell", add=1.0),
        Edit("*", "inputs", scale=0.5, time=[2, 9]),
    ]
    whole = record_traces(model, x, edits=edits)
    session = StreamingSession(model, samples=6, edits=edits)
    steps = [session.step(x[:, t]) for t in range(12)]
    np.testing.assert_allclose(np.stack(steps, 1), whole["outputs"], atol=1e-6)
    session.reset()
    joined = join_traces(session.record(x[:, a:b]) for a, b in ((0, 3), (3, 9), (9, 12)))
    for name in ("a/cell", "b/hidden", "b/update_gate"):
        np.testing.assert_allclose(joined[name], whole[name], atol=1e-6)
    np.testing.assert_array_equal(joined["a/edited"], whole["a/edited"])


def test_a_session_goes_on_elsewhere_with_its_edits(model, x, tmp_path):
    edits = [Edit("a", "cell", set=0.0, time=5), Edit("b", "candidate", function=tf.abs, time=[7])]
    whole = record_traces(model, x, edits=edits)["outputs"]
    twin = keras.models.clone_model(model, clone_function=renamed)
    twin.set_weights(model.get_weights())
    session = StreamingSession(model, samples=6, edits=edits)
    session.run(x[:, :3])
    session.save(tmp_path / "session.npz")
    for other in (
        session.copy(),
        session.to(twin),
        StreamingSession.load(tmp_path / "session.npz", model, edits=edits),
    ):
        np.testing.assert_allclose(other.run(x[:, 3:]), whole[:, 3:], atol=1e-6)
    quantities = ["hidden", "cell", "forget_gate"]
    long = StreamingSession(model, samples=6, edits=[Edit("a", "cell", set=0.0, time=slice(99))])
    for number in range(30):
        wanted = quantities[number % 3]
        node = long.record(x[:, :1], layers="a", quantities=wanted)["a"]
        assert [name for name in quantities if name in node] == [wanted]


def renamed(layer):
    return type(layer).from_config({**layer.get_config(), "name": f"{layer.name}_too"})


def test_the_derivative_is_that_by_the_new_value(model, x):
    edit = Edit("a", "cell", set=0.3, time=4, unit=2)
    output = lambda y: y[:, -1, 0]  # noqa: E731
    found = record_gradients(model, x, output=output, edits=[edit])["a/cell"][:, 4, 2]
    sides = [
        record_traces(model, x, edits=[Edit("a", "cell", set=0.3 + by, time=4, unit=2)])["outputs"]
        for by in (-0.01, 0.01)
    ]
    slope = (sides[1] - sides[0])[:, -1, 0] / 0.02
    np.testing.assert_allclose(found, slope, atol=1e-4)
    assert np.abs(found).max() > 1e-3
    before = record_gradients(model, x, output=output, edits=[Edit("a", "hidden", set=0.0, time=4)])
    assert np.abs(before["a/output_gate"][:, 4]).max() == 0  # nothing passes an edit that sets


def test_what_an_edit_reaches():
    """Stacked cells, both directions, a layer called twice, stateful layers, cells of one's own."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 6, 3)).astype("float32")
    inputs = keras.Input((6, 3), batch_size=4)
    shared = L.LSTM(3, return_sequences=True, name="shared")
    layers = [
        L.RNN(
            [L.LSTMCell(3, name="low"), L.GRUCell(3, name="high")], return_sequences=True, name="s"
        ),
        L.Bidirectional(L.GRU(2, return_sequences=True), name="both"),
        L.SimpleRNN(3, stateful=True, return_sequences=True, name="live"),
        L.RNN(Leaky(3, name="leaky"), return_sequences=True, name="own"),
    ]
    y = shared(shared(inputs))
    for layer in layers:
        y = layer(y)
    made = keras.Model(inputs, y)
    places = {
        "shared": "cell",
        "s/low": "forget_gate",
        "s/high": "inputs",
        "both/backward": "candidate",
        "both": "hidden",
        "live": "hidden",
        "own": "hidden",
    }
    every = [Edit(address, quantity, set=0.125, time=2) for address, quantity in places.items()]
    traces, plain = record_traces(made, x, edits=every), record_traces(made, x)
    for address, quantity in places.items():
        own = [n for n in traces.leaves if n.path.strip("/").startswith(address)]
        assert own
        if quantity != "inputs":
            for node in own:
                np.testing.assert_array_equal(node[quantity][:, 2], 0.125)
        # Zeros leave the others as they are; one graph serves all.
        edits = [
            Edit(other, name, add=0.125 if other == address else 0.0, time=2)
            for other, name in places.items()
        ]
        outputs = record_traces(made, x, edits=edits)["outputs"]
        assert np.abs(outputs - plain["outputs"]).max() > 0
    for state in layers[2].states:
        np.testing.assert_array_equal(state, 0)


@keras.saving.register_keras_serializable("test_edits")
class Leaky(L.Layer):
    """A cell that forgets a tenth at each step."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.state_size = self.output_size = units
        self.mix = L.Dense(units, use_bias=False)

    def build(self, shape):
        self.mix.build(shape)

    def call(self, inputs, states):
        state = 0.9 * states[0] + 0.1 * self.mix(inputs)
        return state, [state]


SAYS = {
    "zz": ({"layer": "zz", "set": 0.0}, r"Edit\('zz', 'cell'\) matches no recurrent layer"),
    "quantity": ({"quantity": "cel", "set": 0.0}, r"no such quantity, but \['hidden'"),
    "step": ({"set": 0.0, "time": 12}, r"time of Edit\('a', 'cell'\) has \[12\].* there are 12"),
    "unit": ({"set": 0.0, "unit": [5]}, r"unit of Edit\('a', 'cell'\) has \[5\].* there are 5"),
    "sample": ({"set": 0.0, "sample": 6}, r"sample of Edit.* has \[6\].* there are 6"),
    "twice": ({"set": 0.0, "time": [3, 3]}, r"it must name each step of layer 'a' once"),
    "width": ({"set": np.zeros(4)}, r"set holds 4 of unit; allowed are \{1, 5\}"),
    "steps": ({"set": np.zeros((4, 1)), "time": [1, 2]}, r"set holds 4 steps.*: 2"),
    "dims": ({"set": np.zeros((1, 1, 1, 1))}, r"set has shape \(1, 1, 1, 1\)"),
    "text": ({"set": "warm"}, "set is 'warm'; it must be a number or an array of numbers"),
    "ragged": ({"set": [[1], [1, 2]]}, "it must be a number or an array of numbers"),
    "nothing": ({}, "no action; an edit needs one of"),
    "two": ({"set": 0.0, "hold": True}, r"has \['set', 'hold'\]; an edit needs one"),
    "clamp": ({"clamp": (2, 1)}, "the low limit is above the high one"),
    "one limit": ({"clamp": 2}, r"must be \(low, high\)"),
    "no limits": ({"clamp": ("a", 1)}, r"clamp is \('a', 1\); it must be \(low, high\)"),
    "swap": ({"swap": (1, 1)}, "two different units"),
    "swap unit": ({"swap": (1, 2), "unit": 1}, "swap names its units itself"),
    "function": ({"function": 3}, "must be a Python function"),
    "ufunc": ({"function": np.tanh}, "must be a Python function"),
    "function that fails": (
        {"function": lambda v: np.tanh(v)},
        r"Edit\('a', 'cell'\): function fails on a tensor of shape \(6, 5\)",
    ),
    "function shape": ({"function": lambda v: v[:1]}, r"function returns the shape \(1, 5\)"),
    "start": ({"quantity": "initial_cell", "set": 0.0, "time": 0}, "has no steps"),
    "first gate": (
        {"quantity": "forget_gate", "hold": True, "time": 0},
        "touches nothing of layer 'a'",
    ),
    "place": ({"set": 0.0, "time": 1.5}, "must be an integer, a slice or a sequence"),
    "slice": ({"set": 0.0, "time": slice(0.5, 3)}, "must be an integer, a slice or a sequence"),
    "no step": ({"set": 0.0, "time": slice(0, 3, 0)}, "must be an integer, a slice or a sequence"),
    "flags": ({"set": 0.0, "unit": [True] * 5}, "must be an integer, a slice or a sequence"),
    "start with steps": (
        {"quantity": "initial_cell", "set": np.zeros((6, 12, 5))},
        r"set has shape \(6, 12, 5\), not one like \('sample', 'unit'\)",
    ),
}


@pytest.mark.parametrize("case", SAYS)
def test_what_cannot_be_right_is_refused(model, x, case):
    given, says = SAYS[case]
    with pytest.raises(ValueError, match=says):
        record_traces(model, x, edits=[Edit(**{"layer": "a", "quantity": "cell", **given})])


def test_nan_is_refused_where_it_counts(model, x):
    mask = np.ones((6, 12), bool)
    mask[:, 9:] = False
    gates = record_traces(model, x, mask=mask)["a/input_gate"]
    record_traces(model, x, mask=mask, edits=[Edit("a", "input_gate", set=gates)])
    with pytest.raises(TraceError, match=r"Edit\('a', 'input_gate'\): set holds NaN for a real"):
        record_traces(model, x, edits=[Edit("a", "input_gate", set=gates)])


def test_a_gate_of_another_trace_has_a_derivative_under_its_mask(model, x):
    mask = np.ones((6, 12), bool)
    mask[:, 9:] = False
    gates = record_traces(model, -x, mask=mask)["a/input_gate"]
    edits = [Edit("a", "input_gate", set=gates)]
    output = lambda y: y[:, -1, 0]  # noqa: E731
    found = record_gradients(model, x, mask=mask, output=output, edits=edits)
    numbers = [Edit("a", "input_gate", set=gates.fillna(0.5))]
    expected = record_gradients(model, x, mask=mask, output=output, edits=numbers)
    np.testing.assert_array_equal(found["a/cell"], expected["a/cell"])


def test_an_input_is_held_from_the_last_real_step_that_is_not_held_itself(model, x):
    mask = np.ones((6, 12), bool)
    mask[:, 5] = False
    held = record_traces(
        model, x, mask=mask, edits=[Edit("a", "inputs", hold=True, time=[3, 4, 5, 6])]
    )
    given = x.copy()
    given[:, [3, 4, 6]] = x[:, [2]]
    expected = record_traces(model, given, mask=mask)
    np.testing.assert_allclose(held["outputs"], expected["outputs"], atol=1e-6)
    assert np.abs(held["outputs"] - record_traces(model, x, mask=mask)["outputs"]).max() > 1e-3


def test_inputs_that_are_no_floats_are_edited_as_numbers():
    taken = keras.Sequential([keras.Input((5, 2), dtype="int32"), L.LSTM(3, name="q")])
    x = np.arange(20).reshape(2, 5, 2)
    for action in ("set", "add"):
        found = record_traces(taken, x, edits=[Edit("q", "inputs", **{action: 0.75})])
        own = 0.75 + (0 if action == "set" else x)
        expected = run_stack(taken.layers, own * np.ones(x.shape))[1]
        np.testing.assert_allclose(found["outputs"], expected, atol=1e-5)


def test_layers_that_are_only_edited_are_proven_too():
    inputs = keras.Input((5, 2))
    turned = L.LSTM(3, return_sequences=True, name="a")(Turn()(inputs))
    flipped = keras.Model(inputs, L.GRU(2, name="b")(Turn()(turned)))
    x = np.random.default_rng(0).normal(size=(4, 5, 2)).astype("float32")
    record_traces(flipped, x, layers="b", edits=[Edit("a", "cell", set=1.0)])
    for layers in (None, "b"):
        with pytest.raises(UnsupportedLayerError, match="which of them sample of an edit is for"):
            record_traces(flipped, x, layers=layers, edits=[Edit("a", "cell", set=1.0, sample=0)])


class Turn(L.Layer):
    """Reverses the samples of a batch."""

    def call(self, values):
        return values[::-1]


def test_a_step_that_one_of_several_calls_lacks_is_refused():
    shared = L.LSTM(3, return_sequences=True, name="s")
    inputs = keras.Input((10, 3))
    twice = keras.Model(inputs, shared(shared(inputs)[:, :4]))
    x = np.ones((2, 10, 3), "float32")
    with pytest.raises(ValueError, match=r"time of Edit.* has \[6\].* there are 4"):
        record_traces(twice, x, edits=[Edit("s", "cell", set=0.125, time=6)])


def test_an_edit_of_masked_steps_alone_is_refused(model, x):
    mask = np.ones((6, 12), bool)
    mask[:, 9:] = False
    with pytest.raises(ValueError, match="touches nothing of layer 'b'"):
        record_traces(model, x, mask=mask, edits=[Edit("b", "hidden", set=0.0, time=[10, 11])])


def test_rows_that_are_no_samples_have_no_sample_to_edit():
    inputs = keras.Input((4, 5, 2))
    inner = L.LSTM(3, name="inner")(keras.ops.reshape(inputs, (-1, 5, 2)))
    folded = keras.Model(inputs, keras.ops.reshape(inner, (-1, 4, 3)))
    x = np.zeros((2, 4, 5, 2), "float32")
    record_traces(folded, x, edits=[Edit("inner", "cell", set=1.0)])
    with pytest.raises(UnsupportedLayerError, match="receives 8 rows, not the 2 samples"):
        record_traces(folded, x, edits=[Edit("inner", "cell", set=1.0, sample=1)])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"quantity": "forget_gate", "hold": True}, "a session has not kept"),
        ({"set": 0.0, "time": -1}, "has no last step to count from"),
        ({"set": np.zeros((3, 1)), "time": [1, 2, 3]}, "set has steps"),
    ],
)
def test_what_a_session_cannot_know_is_refused(model, given, says):
    with pytest.raises(ValueError, match=says):
        StreamingSession(model, edits=[Edit(**{"layer": "a", "quantity": "cell", **given})])


def test_a_stream_has_no_last_sample(model, x):
    with pytest.raises(ValueError, match="x is an iterator"):
        record_traces(model, iter([x]), edits=[Edit("a", "cell", set=0.0, sample=-1)])
