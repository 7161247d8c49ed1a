"""Every kind of model, layer, precision, mask and start that is traced, one case each.

What a trace holds is compared with the model's own outputs, and with the equations in NumPy, run
from what Keras itself handed each layer. ``docs/coverage.md`` links to these cases by their names.
"""

from functools import partial

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from lstm_states import UnsupportedLayerError, final_states, record_traces
from lstm_states.cells import KINDS
from lstm_states.proof.equations import TOLERANCES
from tests.conftest import shake
from tests.lstm_states.traces.models import assert_exact, every_mask

L = keras.layers
LSTM = partial(L.LSTM, name="lstm")
STEPS, FEATURES = 8, 4

MASK = every_mask(STEPS)


def make_x(*shape):
    return np.random.default_rng(1).normal(size=(6, *shape)).astype("float32")


def stack(*layers, **options):
    """Layers over one input of sequences, and the recurrent ones among them by name."""
    model = keras.Sequential([keras.Input((STEPS, FEATURES), **options), *layers])
    return model, {layer.name: layer for layer in layers if isinstance(layer, L.RNN)}


def both(wrapper):
    """A Bidirectional layer named ``both``."""
    model, _ = stack(wrapper)
    return model, {"both/forward": wrapper.forward_layer, "both/backward": wrapper.backward_layer}


class Subclassed(keras.Model):
    """Calls its layers as it likes, one of them in a list."""

    def __init__(self):
        super().__init__()
        self.low = [L.LSTM(3, return_sequences=True, name="low")]
        self.high = L.GRU(2, name="high")

    def call(self, x, mask=None, training=False):
        hidden = self.low[0](x, mask=mask)
        return self.high(hidden, mask=mask) * 2


def sequential():
    return stack(L.LSTM(3, return_sequences=True, name="low"), L.LSTM(2, name="high"), L.Dense(2))


def functional():
    a, b = keras.Input((STEPS, FEATURES), name="a"), keras.Input((5, 2), name="b")
    left = L.LSTM(3, return_state=True, name="left")
    right = L.GRU(2, return_sequences=True, name="right")
    hidden, _, cell = left(a)
    outputs = {"hidden": hidden, "cell": cell, "right": right(b)}
    return keras.Model({"a": a, "b": b}, outputs), {"left": left, "right": right}


def subclassed():
    model = Subclassed()
    model(make_x(STEPS, FEATURES))
    return model, {"low": model.low[0], "high": model.high}


def nested():
    lstm = L.LSTM(3, return_sequences=True, name="lstm")
    inner = keras.Sequential([keras.Input((STEPS, 4)), lstm], name="inner")
    middle_in = keras.Input((STEPS, 4))
    middle = keras.Model(middle_in, inner(middle_in), name="middle")
    top = L.LSTM(2, name="top")
    model = keras.Sequential([keras.Input((STEPS, FEATURES)), middle, top])
    return model, {"middle/inner/lstm": lstm, "top": top}


def encoder_and_decoder():
    inputs = keras.Input((STEPS, FEATURES))
    encoder, decoder = L.LSTM(3, return_state=True, name="encoder"), L.LSTM(3, name="decoder")
    _, *states = encoder(inputs)
    start = L.RepeatVector(4)(states[0])
    model = keras.Model(inputs, decoder(start, initial_state=states))
    return model, {"encoder": encoder, "decoder": decoder}


def shared_weights():
    inputs = keras.Input((STEPS, FEATURES))
    cell = L.LSTMCell(3)
    there, back = L.RNN(cell, name="there"), L.RNN(cell, go_backwards=True, name="back")
    model = keras.Model(inputs, [there(inputs), back(inputs)])
    return model, {"there": there, "back": back}


MODELS = {
    "Sequential": sequential,
    "Functional with several inputs and outputs": functional,
    "subclassed": subclassed,
    "nested": nested,
    "states handed from layer to layer": encoder_and_decoder,
    "shared weights": shared_weights,
}


@pytest.mark.filterwarnings("ignore:(?s).*input with a mask attached")
@pytest.mark.parametrize("case", MODELS)
def test_models(case, rng):
    model, layers = MODELS[case]()
    shake(model, rng)
    several = case.startswith("Functional")
    x = {"a": make_x(STEPS, FEATURES), "b": make_x(5, 2)} if several else make_x(STEPS, FEATURES)
    # mask= is for models of one input.
    assert_exact(model, layers, x, None if several else MASK)


def test_one_layer_used_twice_has_a_node_for_each_call_as_written(rng):
    a, b = keras.Input((STEPS, FEATURES)), keras.Input((STEPS, FEATURES))
    layer = LSTM(3)
    inner = keras.Model(a, L.GRU(2, name="gru")(a), name="inner")
    model = shake(keras.Model([a, b], [layer(a), layer(b), inner(a), inner(b)]), rng)
    x = [make_x(STEPS, FEATURES), -make_x(STEPS, FEATURES)]
    traces = record_traces(model, x)
    for number, inputs in enumerate(x):
        for address, single in (("lstm", layer), ("inner/gru", inner)):
            expected = np.asarray(single(inputs))
            node = traces[f"{address}/call_{number}"]
            np.testing.assert_allclose(node["hidden"][:, -1], expected, atol=1e-6)
    with pytest.raises(UnsupportedLayerError, match="'lstm' is called 2 times in one pass"):
        record_traces(model, x, initial_state={"lstm": [np.zeros((6, 3))] * 2})


BELOW = {
    "Masking": lambda: [L.Masking(0.0)],
    "Conv1D": lambda: [L.Conv1D(5, 3, padding="causal")],
    "TimeDistributed": lambda: [L.TimeDistributed(L.Dense(3))],
    "Dropout and SpatialDropout1D": lambda: [L.Dropout(0.5), L.SpatialDropout1D(0.5)],
    "normalisation": lambda: [L.BatchNormalization(), L.LayerNormalization()],
}


@pytest.mark.parametrize("case", BELOW)
def test_lstm_after(case, rng):
    model, layers = stack(*BELOW[case](), LSTM(3))
    model.set_weights([np.abs(w) + 0.1 for w in shake(model, rng).get_weights()])
    x = make_x(STEPS, FEATURES) * MASK[..., None]
    traces = assert_exact(model, layers, x)
    assert bool(traces["mask"].all()) == (case != "Masking")


def test_lstm_after_embedding(rng):
    layers = [L.Embedding(7, 4, mask_zero=True), LSTM(3, return_sequences=True), L.GRU(2)]
    model = shake(keras.Sequential([keras.Input((STEPS,), dtype="int32"), *layers]), rng)
    tokens = rng.integers(1, 7, MASK.shape) * MASK
    traces = assert_exact(model, {layer.name: layer for layer in layers[1:]}, tokens)
    np.testing.assert_array_equal(traces["mask"], MASK)


def test_lstm_inside_time_distributed(rng):
    layer = LSTM(3)
    wrapped = L.TimeDistributed(layer, name="wrapper")
    model = shake(keras.Sequential([keras.Input((2, STEPS, FEATURES)), wrapped]), rng)
    x = make_x(2, STEPS, FEATURES)
    traces = record_traces(model, x)
    for number in range(2):
        node = traces[f"wrapper/lstm/call_{number}"]
        np.testing.assert_allclose(node["hidden"][:, -1], layer(x[:, number]), atol=1e-6)


LSTM_OPTIONS = {
    "units": {"units": 17},
    "activation": {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
    "activation that sees all units": {"activation": "softmax"},
    "own activation": {"activation": lambda z: z / (1 + abs(z))},
    "activation that is a layer": {"activation": L.LeakyReLU(0.2)},
    "use_bias": {"use_bias": False},
    "unit_forget_bias": {"unit_forget_bias": False},
    "go_backwards": {"go_backwards": True, "return_sequences": True},
    "unroll": {"unroll": True, "return_sequences": True},
    "return_sequences": {"return_sequences": True},
    "return_state": {"return_state": True, "return_sequences": True},
    "implementation": {"implementation": 1},
    "dropout and recurrent_dropout": {"dropout": 0.5, "recurrent_dropout": 0.5},
    "regularizers and constraints": {"kernel_regularizer": "l2", "bias_constraint": "unit_norm"},
    "zero_output_for_mask": {"zero_output_for_mask": True, "return_sequences": True},
    "zero_output_for_mask, last step": {"zero_output_for_mask": True},
    "use_cudnn": {"use_cudnn": False},
    "unroll, go_backwards and zero_output_for_mask": {
        "unroll": True,
        "go_backwards": True,
        "zero_output_for_mask": True,
        "return_sequences": True,
    },
}


@pytest.mark.parametrize("case", LSTM_OPTIONS)
def test_lstm_options(case, rng):
    model, layers = stack(LSTM(**{"units": 3, **LSTM_OPTIONS[case]}))
    assert_exact(shake(model, rng), layers, make_x(STEPS, FEATURES), MASK)


OTHER_LAYERS = {
    "Bidirectional concat": lambda: both(L.Bidirectional(L.LSTM(3), name="both")),
    "Bidirectional sum": lambda: both(L.Bidirectional(L.LSTM(3), "sum", name="both")),
    "Bidirectional ave": lambda: both(
        L.Bidirectional(L.LSTM(3, return_state=True), "ave", name="both")
    ),
    "Bidirectional mul": lambda: both(
        L.Bidirectional(L.LSTM(3, return_sequences=True), "mul", name="both")
    ),
    "Bidirectional unmerged": lambda: both(
        L.Bidirectional(L.GRU(3, return_sequences=True), None, name="both")
    ),
    "Bidirectional with a backward layer of its own": lambda: both(
        L.Bidirectional(
            L.LSTM(3), backward_layer=L.GRU(2, activation="relu", go_backwards=True), name="both"
        )
    ),
    "Bidirectional over stacked cells": lambda: both(
        L.Bidirectional(L.RNN([L.LSTMCell(3, name="a"), L.LSTMCell(2, name="b")]), name="both")
    ),
    "RNN(LSTMCell)": lambda: stack(L.RNN(L.LSTMCell(3), return_state=True, name="rnn")),
    "RNN([LSTMCell, LSTMCell])": lambda: stack(
        L.RNN(
            [L.LSTMCell(3, name="a"), L.LSTMCell(2, name="b")],
            return_sequences=True,
            return_state=True,
            name="rnn",
        )
    ),
    "StackedRNNCells of all kinds": lambda: stack(
        L.RNN(
            L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(2), L.SimpleRNNCell(4)]),
            go_backwards=True,
            name="rnn",
        )
    ),
    "GRU": lambda: stack(L.GRU(3, return_sequences=True, name="gru")),
    "GRU that resets before": lambda: stack(
        L.GRU(3, reset_after=False, implementation=1, go_backwards=True, name="gru")
    ),
    "GRU without bias": lambda: stack(L.GRU(3, use_bias=False, unroll=True, name="gru")),
    "RNN(GRUCell)": lambda: stack(L.RNN(L.GRUCell(3, use_bias=False, reset_after=False), name="r")),
    "SimpleRNN": lambda: stack(
        L.SimpleRNN(3, activation="relu", return_sequences=True, name="simple")
    ),
    "RNN(SimpleRNNCell)": lambda: stack(
        L.RNN(L.SimpleRNNCell(3, use_bias=False), zero_output_for_mask=True, name="simple")
    ),
}


@pytest.mark.parametrize("case", OTHER_LAYERS)
def test_other_layers(case, rng):
    model, layers = OTHER_LAYERS[case]()
    assert_exact(shake(model, rng), layers, make_x(STEPS, FEATURES), MASK)


PRECISIONS = {
    "mixed_float16": 5e-3,
    "mixed_bfloat16": 5e-2,
    "float64": 1e-12,
}


@pytest.mark.parametrize("case", PRECISIONS)
def test_precisions(case, rng):
    own = {"dtype": case, "return_sequences": True}
    model, layers = stack(
        L.LSTM(3, name="lstm", **own), L.GRU(3, name="gru", **own), L.SimpleRNN(3, name="s", **own)
    )
    x = make_x(STEPS, FEATURES)
    traces = assert_exact(shake(model, rng), layers, x, MASK, tolerance=PRECISIONS[case])
    kept = "float64" if case == "float64" else "float32"
    assert traces["lstm/input_gate"].dtype == kept
    # The order of the sums is Keras's own: half precision rounds as it does, but where the
    # processor has instructions for it and a product of fewer rows rounds another way.
    outputs = model.call(tf.constant(x), mask=tf.constant(MASK))
    atol = TOLERANCES["float64"]
    if case != "float64":
        atol = 4 * float(ml_dtypes.finfo(layers["lstm"].compute_dtype).eps)
    np.testing.assert_allclose(traces["outputs"], np.asarray(outputs, "float64"), atol=atol)


MIXED = {
    "float32 in mixed_float16": ("float32", "mixed_float16"),
    "mixed_bfloat16 in float32": ("mixed_bfloat16", "float32"),
    "float64 in float32": ("float64", "float32"),
}


@pytest.mark.parametrize("case", MIXED)
def test_a_cell_of_another_precision_than_its_layer(case, rng):
    """Keras's own weights are read in the cell's precision, and its numbers cast to the layer's."""
    of_cell, of_layer = MIXED[case]
    own = {"dtype": of_layer, "return_sequences": True}
    layers = [
        L.RNN(L.LSTMCell(3, dtype=of_cell), name="lstm", **own),
        L.RNN(L.GRUCell(3, dtype=of_cell), name="gru", **own),
        L.RNN([L.SimpleRNNCell(3, dtype=of_cell), L.LSTMCell(2, dtype=of_cell)], name="r", **own),
    ]
    # A stack casts its states to its own precision, which a float64 cell inside it doesn't take.
    model, _ = stack(*layers[: 2 if of_cell == "float64" else 3])
    x = make_x(STEPS, FEATURES)
    traces = record_traces(shake(model, rng), x)
    outputs = np.asarray(model(x), "float64")
    precision = "float16" if of_layer == "mixed_float16" else layers[0].cell.compute_dtype
    atol = 4 * float(ml_dtypes.finfo(precision).eps)
    np.testing.assert_allclose(traces["outputs"], outputs, atol=max(atol, 1e-7))


class Clipped(L.LSTMCell):
    """Keeps its cell state within bounds."""

    def _compute_carry_and_output_fused(self, z, c_tm1):
        c, o = super()._compute_carry_and_output_fused(z, c_tm1)
        return keras.ops.clip(c, -0.2, 0.2), o


class Counting(L.Layer):
    """Carries three states and shows none of them."""

    state_size = (4, 4, 4)
    output_size = 2

    def call(self, inputs, states):
        mean, largest, _ = states
        new = [mean * 0.9 + inputs * 0.1, keras.ops.maximum(largest, inputs), inputs]
        return (new[1] - new[0])[:, :2], new


CUSTOM = {
    "changed": lambda: [Clipped(4)],
    "shows something else": lambda: [Counting()],
    "in a stack": lambda: [Clipped(4, name="a"), Counting(name="b"), L.GRUCell(3, name="c")],
}


@pytest.mark.parametrize("case", CUSTOM)
def test_custom_cells(case, rng):
    """The states are those that the cells themselves give, one step after the other."""
    cells = CUSTOM[case]()
    layer = L.RNN(
        cells if len(cells) > 1 else cells[0], go_backwards=True, return_sequences=True, name="rnn"
    )
    model, _ = stack(layer)
    shake(model, rng)
    x = make_x(STEPS, FEATURES)
    traces = record_traces(model, x, mask=MASK)
    outputs = model.call(tf.constant(x), mask=tf.constant(MASK))
    np.testing.assert_allclose(traces["outputs"], outputs, atol=1e-6)
    shown = tf.constant(x)
    for cell in cells:
        node = traces[f"rnn/{cell.name}" if len(cells) > 1 else "rnn"]
        names = KINDS[node.attrs["cell"]].states
        # What a cell is given isn't kept, but for the first: its states are compared.
        states = [tf.zeros((6, node.sizes["unit"])) for _ in names]
        for step in reversed(range(STEPS)) if cell is cells[0] else ():
            _, after = cell(shown[:, step], states)
            real = MASK[:, step, None]
            states = [tf.where(real, n, o) for n, o in zip(after, states, strict=True)]
            for name, state in zip(names, states, strict=True):
                np.testing.assert_allclose(node[name][:, step], state, atol=1e-6)
        gates = {"update_gate", "forget_gate"} & set(node.data_vars)
        assert bool(gates) == isinstance(cell, L.GRUCell)


def test_one_stacked_cell(rng):
    """Keras itself can't run a stack of a single cell under a mask, unless it is unrolled."""
    model, layers = stack(L.RNN([L.LSTMCell(3, name="only")], name="rnn"))
    x = make_x(STEPS, FEATURES)
    assert_exact(shake(model, rng), layers, x)
    with pytest.raises(ValueError, match=r"(?s)structure"):
        model.call(tf.constant(x), mask=tf.constant(MASK))
    with pytest.raises(UnsupportedLayerError, match="'rnn' stacks a single cell, which Keras"):
        record_traces(model, x, mask=MASK)
    unrolled, layers = stack(L.RNN([L.LSTMCell(3, name="only")], unroll=True, name="rnn"))
    assert_exact(shake(unrolled, rng), layers, x, MASK)


@pytest.fixture(scope="module")
def mixed():
    """An LSTM below a Bidirectional GRU and stacked cells, and the layers by address."""
    wrapper = L.Bidirectional(L.GRU(2, return_sequences=True), name="both")
    model, layers = stack(
        L.LSTM(3, return_sequences=True, name="low"),
        wrapper,
        L.RNN([L.LSTMCell(3, name="a"), L.GRUCell(2, name="b")], name="cells"),
    )
    layers |= {"both/forward": wrapper.forward_layer, "both/backward": wrapper.backward_layer}
    return shake(model, np.random.default_rng(2)), layers


STATES = {
    "by name": lambda r: {
        "low": (r(3), r(3)),
        "both/forward": r(2),
        "both/backward": [r(2)],
        "cells/a": (r(3), r(3)),
        "cells/b": r(2),
    },
    "as Keras nests them": lambda r: {
        "low": [r(3), r(3)],
        "both": [r(2), r(2)],
        "cells": [[r(3), r(3)], [r(2)]],
    },
}


@pytest.mark.parametrize("case", STATES)
def test_initial_states(case, mixed, rng):
    """The layers, called one by one with these states, give what the trace holds."""
    model, layers = mixed
    x, mask = make_x(STEPS, FEATURES), tf.constant(MASK)
    given = STATES[case](lambda units: rng.normal(size=(6, units)).astype("float32"))
    traces = record_traces(model, x, mask=MASK, initial_state=given)
    h, c, forward, backward, *cells = keras.tree.flatten(list(given.values()))
    low = layers["low"](tf.constant(x), initial_state=[h, c], mask=mask)
    there = layers["both/forward"](low, initial_state=forward, mask=mask)
    back = layers["both/backward"](low, initial_state=backward, mask=mask)
    joined = tf.concat([there, tf.reverse(back, [1])], -1)
    top = layers["cells"](joined, initial_state=[cells[:2], cells[2:]], mask=mask)
    np.testing.assert_allclose(traces["outputs"], top, atol=1e-6)
    starts = [
        traces[name]
        for name in (
            *("low/initial_hidden", "low/initial_cell"),
            *("both/forward/initial_hidden", "both/backward/initial_hidden"),
            *("cells/a/initial_hidden", "cells/a/initial_cell", "cells/b/initial_hidden"),
        )
    ]
    for recorded, state in zip(starts, (h, c, forward, backward, *cells), strict=True):
        np.testing.assert_array_equal(recorded, state)


def test_final_states_start_the_next_chunk(rng):
    """A backward layer ends at the first step, so its chunks can't be joined: none is here."""
    low = L.LSTM(3, return_sequences=True, name="low")
    cells = L.RNN([L.LSTMCell(3, name="a"), L.GRUCell(2, name="b")], name="cells")
    model = shake(keras.Sequential([keras.Input((None, FEATURES)), low, cells]), rng)
    x = make_x(STEPS, FEATURES)
    whole = record_traces(model, x, mask=MASK)
    first = record_traces(model, x[:, :4], mask=MASK[:, :4])
    second = record_traces(model, x[:, 4:], mask=MASK[:, 4:], initial_state=final_states(first))
    for address in ("low", "cells/a", "cells/b"):
        for name in KINDS[whole[address].attrs["cell"]].quantities:
            joined = np.concatenate([first[address][name], second[address][name]], 1)
            np.testing.assert_allclose(whole[address][name], joined, atol=1e-6)
        ends = zip(final_states(whole)[address], final_states(second)[address], strict=True)
        for end, joined in ends:
            np.testing.assert_allclose(end, joined, atol=1e-6)
    np.testing.assert_allclose(whole["outputs"], second["outputs"], atol=1e-6)


STATEFUL = {
    "LSTM": lambda: L.LSTM(3, stateful=True, name="live"),
    "GRU": lambda: L.GRU(3, stateful=True, name="live"),
    "stacked cells": lambda: L.RNN([L.LSTMCell(3), L.LSTMCell(2)], stateful=True, name="live"),
    "Bidirectional": lambda: L.Bidirectional(L.LSTM(3, stateful=True), name="live"),
}


@pytest.mark.parametrize("case", STATEFUL)
def test_stateful_layers_go_on_from_batch_to_batch(case, rng):
    model = keras.Sequential([keras.Input((STEPS, FEATURES), batch_size=2), STATEFUL[case]()])
    shake(model, rng)
    x = make_x(STEPS, FEATURES)
    model.predict(x[:2], verbose=0)
    variables = [layer.states for layer in model._flatten_layers() if getattr(layer, "states", 0)]
    live = [variable.numpy() for variable in keras.tree.flatten(variables)]
    traces = record_traces(model, x)
    for variable, before in zip(keras.tree.flatten(variables), live, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)
    first = next(iter(traces.leaves))
    np.testing.assert_array_equal(first["initial_hidden"][:2], live[0])
    np.testing.assert_allclose(
        traces["outputs"], model.predict(x, verbose=0, batch_size=2), atol=1e-6
    )
    for address, node in ((leaf.path, leaf) for leaf in traces.leaves):
        np.testing.assert_array_equal(
            node["initial_hidden"][2:], node["final_hidden"][:-2], err_msg=address
        )


SELECTIONS = {
    "sample": {"sample": [4, 0, -1]},
    "time": {"time": slice(1, 7, 2)},
    "unit": {"unit": [1, 0]},
    "all three": {"sample": slice(1, 4), "time": [-1, 2], "unit": slice(0, 1)},
}


@pytest.fixture(scope="module")
def small():
    """A backward LSTM below a GRU."""
    backward = L.LSTM(3, return_sequences=True, go_backwards=True, name="low")
    model, _ = stack(backward, L.GRU(2, name="top"))
    return shake(model, np.random.default_rng(2))


@pytest.mark.parametrize("case", SELECTIONS)
def test_isel(case, small):
    x, isel = make_x(STEPS, FEATURES), SELECTIONS[case]
    cut, whole = record_traces(small, x, mask=MASK, isel=isel), record_traces(small, x, mask=MASK)
    for address, node in whole.children.items():
        for name, variable in node.data_vars.items():
            wanted = {dim: index for dim, index in isel.items() if dim in variable.dims}
            np.testing.assert_allclose(
                cut[address][name], variable.isel(wanted), atol=1e-6, err_msg=f"{address} {name}"
            )
        for dim, index in isel.items():
            expected = np.arange(node.sizes[dim])[index]
            np.testing.assert_array_equal(cut[address][dim], expected)


class Batches(keras.utils.PyDataset):
    """Batches of inputs and targets."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.x[3 * index : 3 * index + 3], np.zeros(3)


STREAMS = {
    "generator": lambda x: (part for part in (x[:3], x[3:])),
    "tf.data.Dataset": lambda x: tf.data.Dataset.from_tensor_slices((x, x[:, 0])).batch(3),
    "PyDataset": Batches,
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams(case, small):
    x = make_x(STEPS, FEATURES)
    streamed = record_traces(small, STREAMS[case](x))
    whole = record_traces(small, x, batch_size=3)
    for address, node in whole.children.items():
        for name, variable in node.data_vars.items():
            np.testing.assert_allclose(streamed[address][name], variable, atol=1e-6)
    np.testing.assert_allclose(streamed["outputs"], whole["outputs"], atol=1e-6)


class DropsItsMask(L.LSTM):
    """As RNN layers are on Keras's development branch after 3.15."""

    def compute_mask(self, *args, **kwargs):
        return None


def test_installed_keras_hands_the_mask_to_the_second_layer(rng):
    low, high = L.LSTM(3, return_sequences=True, name="low"), L.LSTM(2, name="high")
    model, _ = stack(L.Masking(), low, high)
    shake(model, rng)
    x = make_x(STEPS, FEATURES) * MASK[..., None]
    hidden = low(tf.constant(x), mask=tf.constant(MASK))
    masked = high(hidden, mask=tf.constant(MASK))
    told = (
        f"Keras {keras.__version__} no longer hands the mask of a layer to the next: all layers "
        "but the first run over the padding. The trace follows it, but builders and docs must "
        "hand mask= to every layer, and pyproject.toml must not allow this version before they do."
    )
    assert np.allclose(model.predict(x, verbose=0), masked, atol=1e-6), told
    traces = record_traces(model, x)
    assert np.array_equal(traces["high"]["mask"], MASK), told
    assert np.allclose(traces["outputs"], masked, atol=1e-6), told


@pytest.mark.filterwarnings("ignore:(?s).*input with a mask attached")
def test_a_layer_that_keeps_its_mask_to_itself_is_followed(rng):
    low, high = DropsItsMask(3, return_sequences=True, name="low"), L.LSTM(2, name="high")
    model, _ = stack(L.Masking(), low, high)
    shake(model, rng)
    x = make_x(STEPS, FEATURES) * MASK[..., None]
    traces = record_traces(model, x)
    np.testing.assert_array_equal(traces["low"]["mask"], MASK)
    assert traces["high"]["mask"].all()
    assert "mask" not in traces.data_vars  # there is none that holds for all layers
    np.testing.assert_allclose(traces["outputs"], model.predict(x, verbose=0), atol=1e-6)


class InALoop(keras.layers.Layer):
    """Runs a layer on each of several sequences, in a loop of TensorFlow's own."""

    def __init__(self):
        super().__init__(name="loop")
        self.inner = LSTM(3)

    def build(self, shape):
        self.inner.build((shape[0], *shape[2:]))

    def call(self, x):
        return tf.map_fn(self.inner, tf.transpose(x, (1, 0, 2, 3)))


class Idle(Subclassed):
    """Has a layer that it uses in training only."""

    def __init__(self):
        super().__init__()
        self.idle = L.LSTM(2, name="idle")

    def call(self, x, mask=None, training=False):
        return super().call(x) + (self.idle(x) if training else 0)


def build_idle():
    model = Idle()
    model(make_x(STEPS, FEATURES), training=True)
    return model


REFUSED = {
    "stacks inside a stack": (
        lambda: stack(L.RNN([L.StackedRNNCells([L.LSTMCell(2)]), L.GRUCell(2)], name="rnn"))[0],
        "'rnn' can't be traced exactly: its cell is a StackedRNNCells",
    ),
    "a layer in a loop": (
        lambda: keras.Sequential([keras.Input((2, STEPS, FEATURES)), InALoop()]),
        "'loop/lstm' runs inside a loop or a tf.function",
    ),
    "a layer that isn't called": (build_idle, r"layers \['idle'\] are not called"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    build, message = REFUSED[case]
    model = build()
    shape = (STEPS, FEATURES) if case.endswith("called") else model.input_shape[1:]
    with pytest.raises(UnsupportedLayerError, match=message):
        record_traces(model, make_x(*shape))
