"""LSTM, GRU and SimpleRNN in NumPy, written from the equations: one sample and step at a time.

It shares no code with the package: what it says is what a trace must hold.
"""

from collections import defaultdict
from functools import partial

import keras
import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm(x, state, arise, weights, activation, gate):
    """Return what an LSTM does in a step; ``arise(name, value)`` gives the value that counts."""
    kernel, recurrent_kernel, bias = weights
    i, f, g, o = np.split(x @ kernel + state["hidden"] @ recurrent_kernel + bias, 4)
    i, f = arise("input_gate", gate(i)), arise("forget_gate", gate(f))
    g, o = arise("candidate", activation(g)), arise("output_gate", gate(o))
    c = arise("cell", f * state["cell"] + i * g)
    h = arise("hidden", o * activation(c))
    return {
        "hidden": h,
        "cell": c,
        "input_gate": i,
        "forget_gate": f,
        "candidate": g,
        "output_gate": o,
    }


def gru(x, state, arise, weights, activation, gate):
    """Return what a GRU does in a step; two rows of biases mean that it resets after U."""
    kernel, recurrent_kernel, bias = weights
    h, units, resets_after = state["hidden"], len(state["hidden"]), np.ndim(bias) == 2
    bias, inner_bias = bias if resets_after else (bias, np.zeros(3 * units))
    xz, xr, xg = np.split(x @ kernel + bias, 3)
    uz, ur, ug = np.split(recurrent_kernel, 3, axis=1)
    bz, br, bg = np.split(inner_bias, 3)
    z = arise("update_gate", gate(xz + h @ uz + bz))
    r = arise("reset_gate", gate(xr + h @ ur + br))
    inner = r * (h @ ug + bg) if resets_after else (r * h) @ ug
    g = arise("candidate", activation(xg + inner))
    h = arise("hidden", z * h + (1 - z) * g)
    return {"hidden": h, "update_gate": z, "reset_gate": r, "candidate": g}


def simple(x, state, arise, weights, activation, gate):
    """Return what a SimpleRNN does in a step."""
    kernel, recurrent_kernel, bias = weights
    h = activation(x @ kernel + state["hidden"] @ recurrent_kernel + bias)
    return {"hidden": arise("hidden", h)}


EQUATIONS = {
    keras.layers.LSTMCell: (lstm, ("hidden", "cell")),
    keras.layers.GRUCell: (gru, ("hidden",)),
    keras.layers.SimpleRNNCell: (simple, ("hidden",)),
}


def run_sequence(step, names, x, state, mask, backwards, added, edits=()):
    """Run one sequence ``x (time, feature)``.

    ``edits`` hold ``(quantity, change, where)`` each: at the steps ``where (time,)`` tells,
    ``change(value, before, step)`` takes the place of a value, ``before`` being that of the last
    real step, or None.

    Returns the quantities ``(time, unit)``, NaN where there is none, and the layer's own output
    per step in the order of ``x``, without zeros at masked steps but before the first real one.
    """
    state = dict(zip(names, state, strict=True))
    for name in names:
        for _, change, where in (edit for edit in edits if edit[0] == f"initial_{name}"):
            state[name] = change(state[name], None, step=0) if where[0] else state[name]
    trace = defaultdict(lambda: np.full((len(x), len(state["hidden"])), np.nan))
    shown = np.zeros((len(x), len(state["hidden"])))
    started, before = False, dict(state)
    for t in reversed(range(len(x))) if backwards else range(len(x)):
        plus = defaultdict(float, {name: values[t] for name, values in added.items()})

        def arise(name, value, t=t, plus=plus, before=before):
            for quantity, change, where in edits:
                if quantity == name and where[t]:
                    value = change(value, before.get(name), step=t)
            return value + plus[name]

        if mask[t]:
            given = arise("inputs", x[t])
            now, started = step(given, state, arise), True
            state = {name: now[name] for name in names}
            before = {**now, "inputs": given}
        else:
            now = state = {name: value + plus[name] for name, value in state.items()}
            before |= state
        for name, value in now.items():
            trace[name][t] = value
        shown[t] = state["hidden"] if started else 0
    return trace, shown


def run_layer(
    layer,
    x,
    mask=None,
    state=None,
    activation=np.tanh,
    *,
    gate=sigmoid,
    added=None,
    backwards=None,
    edits=(),
):
    """Run a Keras layer's (or cell's) weights over ``x (sample, time, feature)``, in float64.

    Args:
        layer: Where weights and options come from.
        x: The input.
        mask: Bool ``(sample, time)``.
        state: The start, each ``(sample, unit)``.
        activation: The function that ``layer`` has as its activation.
        gate: The function that ``layer`` has as its recurrent activation.
        added: What to add to quantities where they arise, ``(sample, time, unit)`` by name.
        backwards: Whether to take the last step first; None is what ``layer`` does.
        edits: ``(quantity, change, where)`` each, with ``where (sample, time)``, and
            ``change(value, before, sample, step)`` as :func:`run_sequence` has it.

    Returns:
        The quantities ``(sample, time, unit)``, and what the layer shows at each step of ``x``.
    """
    cell = getattr(layer, "cell", layer)
    equations, names = next(v for k, v in EQUATIONS.items() if isinstance(cell, k))
    weights = [np.asarray(w, np.float64) for w in layer.get_weights()]
    if len(weights) == 2:
        shape = (2, 3 * cell.units) if getattr(cell, "reset_after", False) else ()
        weights.append(np.zeros(shape))
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    state = [np.zeros((len(x), cell.units))] * len(names) if state is None else state
    backwards = getattr(layer, "go_backwards", False) if backwards is None else backwards

    step = partial(equations, weights=weights, activation=activation, gate=gate)
    runs = [
        run_sequence(
            *(step, names, np.asarray(x[n], np.float64), [s[n] for s in state], mask[n]),
            backwards,
            {name: values[n] for name, values in (added or {}).items()},
            [(name, partial(change, sample=n), where[n]) for name, change, where in edits],
        )
        for n in range(len(x))
    ]
    ran = max((run[0] for run in runs), key=len)
    trace = {name: np.stack([run[0][name] for run in runs]) for name in ran}
    shown = np.stack([run[1] for run in runs])
    return trace, shown * mask[..., None] if getattr(layer, "zero_output_for_mask", 0) else shown
