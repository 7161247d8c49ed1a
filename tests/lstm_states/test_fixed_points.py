"""Fixed points of layers whose dynamics are known by hand, and of trained flip-flops."""

from itertools import product

import keras
import numpy as np
import pytest

from lstm_states import UnsupportedLayerError, find_fixed_points, record_traces
from tests.lstm_states.trees import node, tree

L = keras.layers


def bistable(gain=2.0):
    """A SimpleRNN of three units without ties: h = tanh(gain h + x), each with three points."""
    model = keras.Sequential([keras.Input((5, 3)), L.SimpleRNN(3, name="layer")])
    model.layers[0].set_weights([np.eye(3), gain * np.eye(3), np.zeros(3)])
    return model


def test_all_points_of_three_bistable_units_are_found():
    root = 0.9575040240772687  # of h = tanh(2 h)
    starts = np.random.default_rng(0).uniform(-1.2, 1.2, size=(400, 3))
    points = find_fixed_points(bistable(), "layer", starts)
    assert points["fixed"].all()
    found = {tuple(np.round(row, 3) + 0.0) for row in points["hidden"].values}
    grid = product((-1, 0, 1), repeat=3)
    assert found == {tuple(np.round(root * np.array(signs), 3) + 0.0) for signs in grid}
    stable = points["hidden"].values[points["stable"]]
    np.testing.assert_allclose(np.abs(stable), root, atol=1e-5)
    assert len(stable) == 8
    # d tanh(2 h) / dh = 2 (1 - h^2): 2 at the origin.
    origin = points.isel(point=int(np.abs(points["hidden"]).sum("unit").argmin("point")))
    np.testing.assert_allclose(origin["eigenvalues"], [2, 2, 2], atol=1e-4)
    corner = points.isel(point=int(np.flatnonzero(points["stable"])[0]))
    np.testing.assert_allclose(corner["eigenvalues"], [2 * (1 - root**2)] * 3, atol=1e-4)
    assert int(points["starts"].sum()) == 400


def test_an_input_moves_the_points():
    starts = np.random.default_rng(0).uniform(-1, 1, size=(50, 3))
    points = find_fixed_points(bistable(), "layer", starts, inputs=[2.0, 0.0, -2.0])
    hidden = points["hidden"].values[points["fixed"]]
    np.testing.assert_allclose(np.tanh(2 * hidden + [2, 0, -2]), hidden, atol=1e-5)
    assert (hidden[:, 0] > 0).all()  # the pull leaves one point each
    assert (hidden[:, 2] < 0).all()
    assert len(hidden) == 3


def test_a_slow_point_is_none_that_is_fixed():
    """Just after a saddle and a node have met, a narrow passage is left of them."""
    model = keras.Sequential([keras.Input((5, 1)), L.SimpleRNN(1, name="layer")])
    gain = 1.5
    h = np.sqrt(1 - 1 / gain)  # where the slope of tanh(gain h + b) is 1
    bias = np.arctanh(h) - gain * h
    model.layers[0].set_weights([np.array([[1.0]]), np.array([[gain]]), np.array([bias])])
    points = find_fixed_points(model, "layer", [[[h]]], inputs=[-0.02])
    assert not points["fixed"].any()
    assert 1e-3 < float(points["speed"][0]) < 0.05
    assert abs(float(points["hidden"][0, 0]) - h) < 0.1


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_the_points_are_kept_by_the_layer_itself(kind):
    rng = np.random.default_rng(3)
    model = keras.Sequential([keras.Input((None, 2)), getattr(L, kind)(6, name="layer")])
    model.set_weights([1.5 * rng.normal(size=w.shape) for w in model.get_weights()])
    x = rng.normal(size=(8, 20, 2)).astype("float32")
    points = find_fixed_points(model, "layer", record_traces(model, x), inputs=[0.3, -0.2], most=64)
    fixed = points.isel(point=np.flatnonzero(points["fixed"]))
    assert fixed.sizes["point"] > 0
    names = ["hidden", "cell"] if kind == "LSTM" else ["hidden"]
    start = [fixed[name].values for name in names]
    still = np.tile(np.float32([0.3, -0.2]), (fixed.sizes["point"], 4, 1))
    traces = record_traces(model, still, initial_state={"layer": start})
    for name in names:
        np.testing.assert_allclose(traces[f"layer/{name}"][:, 0], fixed[name], atol=2e-5)
    stable = np.flatnonzero(fixed["stable"])
    near = [values[stable] + 1e-3 for values in start]
    long = np.tile(np.float32([0.3, -0.2]), (len(stable), 300, 1))
    if len(stable):
        ended = record_traces(model, long, initial_state={"layer": near})
        for name in names:
            np.testing.assert_allclose(ended[f"layer/final_{name}"], fixed[name][stable], atol=1e-3)


def flip_flops(samples, steps, rng):
    """Three channels of rare pulses of +1 and -1, and what each was last."""
    pulses = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=(samples, steps, 3))
    pulses[:, 0] = rng.choice([-1.0, 1.0], size=(samples, 3))
    last = np.zeros_like(pulses)
    state = np.zeros((samples, 3))
    for t in range(steps):
        state = np.where(pulses[:, t] != 0, pulses[:, t], state)
        last[:, t] = state
    return pulses.astype("float32"), last.astype("float32")


@pytest.mark.slow
def test_a_trained_flip_flop_of_three_bits_has_its_eight_stable_points():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = flip_flops(512, 40, rng)
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            L.GRU(24, return_sequences=True, name="memory"),
            L.Dense(3),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.fit(x, y, batch_size=64, epochs=40, verbose=0)
    fresh, wanted = flip_flops(64, 40, rng)
    traces = record_traces(model, fresh)
    assert float(np.abs(traces["outputs"] - wanted).mean()) < 0.1  # it has learned the task
    points = find_fixed_points(model, "memory", traces, unique=0.1)
    chosen = points.isel(point=np.flatnonzero(points["fixed"] & points["stable"]))
    shown = np.asarray(model.layers[-1](chosen["hidden"].values.astype("float32")))
    bits = {tuple(row) for row in np.sign(shown).astype(int)}
    assert bits == set(product((-1, 1), repeat=3))
    np.testing.assert_allclose(np.abs(shown), 1, atol=0.3)


def test_what_does_not_fit_is_refused():
    model = bistable()
    start = np.zeros((4, 3))
    cases = {
        r"layer is 'lstm'; the model has \['layer'\]": ("lstm", start, {}),
        r"starts has the shapes \[\(4, 2\)\]": ("layer", np.zeros((4, 2)), {}),
        "starts holds no state of layer 'layer' at a real step": ("layer", np.zeros((0, 3)), {}),
        "starts holds NaN": ("layer", np.full((1, 3), np.nan), {}),
        "or what is no real number": ("layer", np.full((1, 3), "a"), {}),
        r"layer is \['layer'\]; the model has": (["layer"], start, {}),
        "inputs is nan; it must hold finite": ("layer", start, {"inputs": np.nan}),
        "inputs is None; it": ("layer", start, {"inputs": None}),
        "inputs is 'a'; it": ("layer", start, {"inputs": "a"}),
        "most is 1.5; it must be an integer of at least 1": ("layer", start, {"most": 1.5}),
        "most is 'a'; it": ("layer", start, {"most": "a"}),
        "most is 0; it": ("layer", start, {"most": 0}),
        "tolerance is -1; it must be a number of at least 0": ("layer", start, {"tolerance": -1}),
        "unique is nan; it": ("layer", start, {"unique": np.nan}),
        r"inputs has shape \(2,\); layer 'layer' takes \(3,\)": (
            "layer",
            start,
            {"inputs": [1, 2]},
        ),
    }
    for says, (layer, starts, options) in cases.items():
        with pytest.raises(ValueError, match=says):
            find_fixed_points(model, layer, starts, **options)
    other = keras.Sequential([keras.Input((5, 4, 1)), L.ConvLSTM1D(2, 3, name="conv")])
    with pytest.raises(UnsupportedLayerError, match="states that are vectors"):
        find_fixed_points(other, "conv", start)


def test_trees_without_states_to_start_from_are_refused():
    hidden = np.zeros((1, 2, 3))
    derived = tree(layer=node(hidden=hidden))
    derived.attrs["derivatives"] = 1
    cases = {
        "layer 'layer' has no 'hidden', but": tree(layer=node(inputs=hidden)),
        "starts holds no state of layer 'layer' at a": tree(layer=node([[0, 0]], hidden=hidden)),
        "traces holds derivatives": derived,
        r"layer is 'layer'; the traces hold \['a'\]": tree(a=node(hidden=hidden)),
    }
    for says, starts in cases.items():
        with pytest.raises(ValueError, match=says):
            find_fixed_points(bistable(), "layer", starts)


@pytest.mark.parametrize("where", [0, 1])
def test_weights_that_are_no_numbers_are_refused(where):
    model = bistable()
    weights = model.get_weights()
    weights[where][0] = np.nan
    model.set_weights(weights)
    with pytest.raises(ValueError, match="the step of layer 'layer' holds NaN or infinity"):
        find_fixed_points(model, "layer", np.ones((2, 3)))


def test_a_point_without_a_slope_is_refused():
    layer = L.SimpleRNN(1, activation=keras.ops.sqrt, name="layer")
    model = keras.Sequential([keras.Input((5, 1)), layer])
    layer.set_weights([np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)])
    with pytest.raises(ValueError, match="the Jacobian of the step of layer 'layer' holds NaN"):
        find_fixed_points(model, "layer", np.zeros((1, 1)))


def test_inputs_are_as_precise_as_the_layer():
    layer = L.SimpleRNN(1, activation="linear", dtype="float64", name="layer")
    model = keras.Sequential([keras.Input((5, 1), dtype="float64"), layer])
    layer.set_weights([np.ones((1, 1)), np.zeros((1, 1)), np.zeros(1)])
    points = find_fixed_points(model, "layer", [[[0.0]]], inputs=0.1, tolerance=1e-12)
    assert (points["hidden"].item(), points.attrs["inputs"]) == (0.1, [0.1])


class Turned(L.Layer):
    """A cell of two units, of which the kernel is ``(unit, feature)``: it halves its state."""

    state_size = output_size = 2

    def build(self, shape):
        self.kernel = self.add_weight(shape=(2, shape[-1]), initializer="ones", name="kernel")

    def call(self, x, states):
        after = keras.ops.matmul(x, keras.ops.transpose(self.kernel)) + states[0] / 2
        return after, [after]


def test_a_cell_with_equations_of_its_own_takes_an_array():
    model = keras.Sequential([keras.Input((4, 3)), L.RNN(Turned(), name="layer")])
    start = np.zeros((1, 2))
    with pytest.raises(ValueError, match=r"inputs is 0\.0, but layer 'layer' has equations of its"):
        find_fixed_points(model, "layer", start)
    points = find_fixed_points(model, "layer", start, inputs=[1, 1, 1])
    np.testing.assert_allclose(points["hidden"], [[6, 6]], rtol=1e-5)
