"""Masks, states and NumPy stacks that the tests of the tracer share."""

from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from lstm_states import check_traces, record_traces
from tests.lstm_states.oracle import run_layer, sigmoid

MASKS = ("none", "right", "left", "middle", "rows", "random")


def make_mask(kind, rng, shape=(6, 9)):
    """Return ``(sample, time)``, true where the step is real; None for ``none``."""
    if kind == "none":
        return None
    lengths = rng.integers(1, max(2, shape[1]), shape[0])[:, None]
    steps = np.arange(shape[1])[None]
    mask = np.ones(shape, bool)
    if kind == "right":
        mask = steps < lengths
    elif kind == "left":
        mask = steps >= shape[1] - lengths
    elif kind == "middle":
        mask = np.broadcast_to((steps < 2) | (steps >= 5), shape).copy()
    elif kind == "rows":
        mask[1::3] = False
    elif kind == "random":
        mask = rng.random(shape) < 0.5
    return mask


def every_mask(steps):
    """Return ``(6, steps)``: padded right, left, a gap, none, every second and all steps real."""
    mask = np.ones((6, steps), bool)
    mask[0, 5:] = mask[1, :3] = mask[2, 2:-2] = mask[3] = mask[4, ::2] = False
    return mask


def in_batches(x, size, stop=None):
    """Yield ``x`` batch by batch; before sample ``stop`` somebody interrupts."""
    for start in range(0, len(x), size):
        if start == stop:
            raise KeyboardInterrupt
        yield x[start : start + size]


def make_states(layer, rng, samples):
    """Return random states to start ``layer`` (or a cell) from, each ``(sample, unit)``."""
    cell = getattr(layer, "cell", layer)
    count = 2 if isinstance(cell, keras.layers.LSTMCell) else 1
    return [rng.normal(size=(samples, cell.units)) for _ in range(count)]


def run_stack(layers, x, mask=None, states=None, added=None, edits=None, **functions):
    """Run recurrent and dense layers one above the other with the equations.

    Args:
        layers: Keras layers from the bottom up.
        x: ``(sample, time, feature)``.
        mask: Bool ``(sample, time)`` or None; every recurrent layer is given it.
        states: By the name of a layer, its start.
        added: By the name of a layer, what to add to its quantities.
        edits: By the name of a layer, what :func:`run_layer` takes as its edits.
        functions: The layers' ``activation`` and ``gate``.

    Returns:
        By the name of a recurrent layer its quantities, and what the last layer gives.
    """
    traces = {}
    for layer in layers:
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = (np.asarray(w, np.float64) for w in layer.get_weights())
            x = x @ kernel + bias
            continue
        own = {"state": (states or {}).get(layer.name), "added": (added or {}).get(layer.name)}
        own["edits"] = (edits or {}).get(layer.name, ())
        traces[layer.name], shown = run_layer(layer, x, mask, **own, **functions)
        # Keras hands on the steps in the order in which it took them, but the mask as it was.
        x = shown[:, ::-1] if layer.go_backwards else shown
        x = x if layer.return_sequences else x[:, -1]
    return traces, x


def assert_exact(model, layers, x, mask=None, *, states=None, tolerance=2e-6):
    """Compare a trace with Keras, and with the equations run on what Keras hands each layer.

    Args:
        model: The model to trace.
        layers: Its recurrent layers by address: all nodes must be theirs.
        x: Its input.
        mask: Bool ``(sample, time)`` or None.
        states: By address of a layer, what to start it from, nested as Keras nests it.
        tolerance: Largest difference, relative to 1 + the largest value of a quantity.

    Returns:
        The trace.
    """
    inputs = keras.tree.map_structure(tf.constant, x)
    keras_mask = {} if mask is None else {"mask": tf.constant(mask)}
    with watched({layers[address]: own for address, own in (states or {}).items()}, model) as calls:
        outputs = model.call(inputs, training=False, **keras_mask)
    traces = record_traces(model, x, mask=mask, initial_state=states)
    expected = {}
    for address, layer in layers.items():
        for number, call in enumerate(calls[layer]):
            for cell, values in run_keras_call(address, layer, call).items():
                several = len(calls[layer]) > 1
                expected[f"{cell}/call_{number}" if several else cell] = values
    assert {leaf.path.strip("/") for leaf in traces.leaves} == set(expected)
    for address, values in expected.items():
        assert_node(traces[address], values, tolerance)
    recorded = [traces[name] for name in traces.data_vars if name.startswith("outputs")]
    for own, output in zip(recorded, keras.tree.flatten(outputs), strict=True):
        assert_close(own, np.asarray(output, own.dtype), tolerance, "outputs")
    residuals = check_traces(traces).to_dataarray()
    # A GRU has no equation of a cell state: NaN there.
    peak = max(np.abs(node["hidden"]).max() for node in traces.leaves)
    assert np.nanmax(residuals) <= tolerance * (1 + peak)
    return traces


def assert_node(node, values, tolerance):
    """Compare quantities, and the final states with those of the last step taken."""
    for name, value in values.items():
        assert_close(node[name], value, tolerance, f"{name} of {node.path}")
        if f"final_{name}" in node:
            last = value[:, 0 if node.attrs["go_backwards"] else -1]
            assert_close(node[f"final_{name}"], last, tolerance, f"final {name} of {node.path}")


def assert_close(recorded, expected, tolerance, label):
    """Compare up to ``tolerance`` times 1 + the largest value; NaN only where NaN is expected."""
    peak = np.max(np.abs(expected), where=~np.isnan(expected), initial=0)
    np.testing.assert_allclose(
        recorded, expected, rtol=0, atol=tolerance * (1 + peak), err_msg=label
    )


@contextmanager
def watched(starts, model):
    """Let Keras run ``model`` and note what it hands each recurrent layer.

    Args:
        starts: By layer, what to start it from in place of what Keras hands over.
        model: The model that will be called.

    Yields:
        By layer, a list with ``(sequences, initial_state, mask)`` of each call.
    """
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.RNN)]
    calls = {layer: [] for layer in layers}

    def watch(layer, original):
        def inner_loop(sequences, initial_state, mask, training=False):
            flat = keras.tree.flatten(starts.get(layer, initial_state))
            cast = [tf.cast(state, layer.compute_dtype) for state in flat]
            start = keras.tree.pack_sequence_as(initial_state, cast)
            calls[layer].append((sequences, start, mask))
            return original(sequences, start, mask, training)

        return inner_loop

    try:
        for layer in layers:
            vars(layer)["inner_loop"] = watch(layer, layer.inner_loop)
        yield calls
    finally:
        for layer in layers:
            del vars(layer)["inner_loop"]


def run_keras_call(address, layer, call):
    """Run with the equations what Keras handed ``layer`` in a call.

    Returns the quantities by the address of each cell.
    """
    sequences, start, mask = call
    mask = None if mask is None else np.asarray(mask, bool)
    flat = iter(np.asarray(state, np.float64) for state in keras.tree.flatten(start))
    cells, below, traces = {address: layer.cell}, np.asarray(sequences, np.float64), {}
    if isinstance(layer.cell, keras.layers.StackedRNNCells):
        cells = {f"{address}/{cell.name}": cell for cell in layer.cell.cells}
    for cell_address, cell in cells.items():
        state = [next(flat) for _ in range(2 if isinstance(cell, keras.layers.LSTMCell) else 1)]
        functions = {"activation": numpy_function(cell.activation)}
        if hasattr(cell, "recurrent_activation"):
            functions["gate"] = numpy_function(cell.recurrent_activation)
        traces[cell_address], below = run_layer(
            cell, below, mask, state, backwards=layer.go_backwards, **functions
        )
    return traces


def numpy_function(activation):
    """Return what takes and gives ``(unit,)`` in NumPy."""
    known = {keras.activations.tanh: np.tanh, keras.activations.sigmoid: sigmoid}
    return known.get(activation, lambda z: np.asarray(activation(tf.constant(z[None])))[0])
