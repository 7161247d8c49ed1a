"""Random models, options, masks, precisions and starts; ``make nightly`` tries a thousand."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_states.kernels.cells import kind_of
from lstm_states.kernels.fused import run_fused
from lstm_states.kernels.scan import scan_cell
from tests.conftest import shake
from tests.lstm_states.traces.models import (
    MASKS,
    assert_close,
    assert_exact,
    make_mask,
    make_states,
)

L = keras.layers
TOLERANCES = {"float32": 1e-5, "float64": 1e-12, "mixed_float16": 1e-2, "mixed_bfloat16": 1e-1}
CELLS = {L.LSTM: L.LSTMCell, L.GRU: L.GRUCell, L.SimpleRNN: L.SimpleRNNCell}


def cell_options(kind):
    """Options that a layer and its cell share."""
    options = {
        "units": st.integers(1, 5),
        "activation": st.sampled_from(["tanh", "tanh", "relu", "softsign"]),
        "use_bias": st.booleans(),
    }
    if kind is not L.SimpleRNN:
        options["recurrent_activation"] = st.sampled_from(["sigmoid", "hard_sigmoid"])
        options["implementation"] = st.sampled_from([1, 2])
    if kind is L.GRU:
        options["reset_after"] = st.booleans()
    return st.tuples(st.just(kind), st.fixed_dictionaries(options))


any_cell = st.sampled_from([L.LSTM, L.LSTM, L.GRU, L.SimpleRNN]).flatmap(cell_options)
any_layer = st.fixed_dictionaries(
    {
        "shape": st.sampled_from(["plain", "plain", "bidirectional", "cells"]),
        "merge_mode": st.sampled_from(["concat", "sum", "mul", "ave"]),
        "cells": st.tuples(any_cell, any_cell),
        "go_backwards": st.booleans(),
        "unroll": st.booleans(),
        "zero_output_for_mask": st.booleans(),
    }
)


def build_layer(name, *, shape, merge_mode, cells, go_backwards, **options):
    """Return a layer as drawn, and its recurrent layers by address."""
    kind, own = cells[0]
    if shape == "bidirectional":
        wrapper = L.Bidirectional(kind(**own, **options), merge_mode, name=name)
        sides = {"forward": wrapper.forward_layer, "backward": wrapper.backward_layer}
        return wrapper, {f"{name}/{side}": layer for side, layer in sides.items()}
    options |= {"go_backwards": go_backwards, "name": name}
    if shape == "cells":
        stack = [CELLS[k](**own, name=f"cell_{n}") for n, (k, own) in enumerate(cells)]
        layer = L.RNN(stack, **options)
    else:
        layer = kind(**own, **options)
    return layer, {name: layer}


def make_start(layer, rng, samples):
    """Random states for ``layer``, nested as Keras nests them."""
    if isinstance(layer.cell, L.StackedRNNCells):
        return [make_states(cell, rng, samples) for cell in layer.cell.cells]
    return make_states(layer, rng, samples)


@given(
    dtype=st.sampled_from([*["float32"] * 5, *TOLERANCES]),
    shape=st.tuples(st.sampled_from([1, 3, 17]), st.integers(1, 9)),
    mask_kind=st.sampled_from(MASKS),
    from_masking=st.booleans(),
    specs=st.lists(any_layer, min_size=1, max_size=2),
    sequences=st.booleans(),
    starts=st.sets(st.integers(0, 3)),
    seed=st.integers(0, 2**16),
)
def test_traces_of_random_models(
    dtype, shape, mask_kind, from_masking, specs, sequences, starts, seed
):
    keras.backend.clear_session()  # else a thousand models would be kept
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(*shape, 3)).astype("float32")
    mask = make_mask(mask_kind, rng, shape)
    model, layers = build_model(specs, sequences, dtype, shape[1], from_masking)
    shake(model, rng)
    started = [address for n, address in enumerate(layers) if n in starts]
    states = {address: make_start(layers[address], rng, shape[0]) for address in started}
    if from_masking and mask is not None:
        x[~mask] = 0
        mask = None
    traces = assert_exact(model, layers, x, mask, states=states, tolerance=TOLERANCES[dtype])
    if mask is None and not states:
        own = model.predict(x, verbose=0)
        assert_close(traces["outputs"], own.astype("float64"), TOLERANCES[dtype], "outputs")


def build_model(specs, sequences, dtype, steps, from_masking):
    """Return a model of the layers as drawn, and its recurrent layers by address."""
    policy, layers = keras.config.dtype_policy(), {}
    keras.config.set_dtype_policy(dtype)
    try:
        model = keras.Sequential([keras.Input((steps, 3))])
        if from_masking:
            model.add(L.Masking())
        for n, spec in enumerate(specs):
            below = n < len(specs) - 1
            layer, own = build_layer(f"layer_{n}", **spec, return_sequences=below or sequences)
            model.add(layer)
            layers |= own
        model.add(L.Dense(2))
    finally:
        keras.config.set_dtype_policy(policy)
    return model, layers


@pytest.mark.parametrize(
    ("make", "options"),
    [(L.LSTMCell, {}), (L.GRUCell, {}), (L.GRUCell, {"reset_after": False})],
)
@given(
    samples=st.integers(1, 20),
    steps=st.integers(1, 12),
    units=st.integers(1, 6),
    use_bias=st.booleans(),
    kind=st.sampled_from(MASKS),
    seed=st.integers(0, 2**16),
)
def test_a_fused_kernel_equals_the_scan(make, options, samples, steps, units, use_bias, kind, seed):
    rng = np.random.default_rng(seed)
    cell = make(units, use_bias=use_bias, **options)
    cell.build((samples, 3))
    shake(cell, rng)
    x = rng.normal(size=(steps, samples, 3)).astype("float32")
    mask = make_mask(kind, rng, (samples, steps)) if steps > 1 else None
    states = tuple(state.astype("float32") for state in make_states(cell, rng, samples))
    arguments = (cell, x, states, None if mask is None else mask.T.copy())
    slow, fast = scan_cell(*arguments), run_fused(*arguments)
    real = np.ones((steps, samples), bool) if mask is None else mask.T
    names = kind_of(cell).states
    for name in slow.values:
        # A gate has no value before the first real step: where it ran is what counts.
        start = states[int(name == "cell")]
        pair = [np.asarray(run.steps(name, start)) for run in (slow, fast)]
        if name not in names:
            pair = [values[real] for values in pair]
        np.testing.assert_allclose(pair[1], pair[0], atol=1e-6, err_msg=name)
    for name, start in zip(names, states, strict=True):
        np.testing.assert_allclose(fast.final(name, start), slow.final(name, start), atol=1e-6)
