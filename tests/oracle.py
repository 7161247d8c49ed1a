"""A NumPy LSTM written from the equations, one sample and one step at a time.

It shares no code with the package: what it says is what a trace must hold.
"""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm(x, kernel, recurrent_kernel, bias, h, c, mask, *, backwards=False, activation=np.tanh):
    """Run one sequence ``x (time, feature)``; all arrays float64.

    Returns the six quantities ``(time, unit)`` and the layer's own output per step.
    """
    steps, units = len(x), len(h)
    names = ("hidden", "cell", "input_gate", "forget_gate", "candidate", "output_gate")
    trace = {name: np.full((steps, units), np.nan) for name in names}
    shown = np.zeros((steps, units))
    last = np.zeros(units)
    for t in reversed(range(steps)) if backwards else range(steps):
        if mask[t]:
            z = x[t] @ kernel + h @ recurrent_kernel + bias
            i, f, g, o = np.split(z, 4)
            i, f, g, o = sigmoid(i), sigmoid(f), activation(g), sigmoid(o)
            c = f * c + i * g
            h = o * activation(c)
            last = h
            for name, value in zip(names[2:], (i, f, g, o), strict=True):
                trace[name][t] = value
        trace["hidden"][t], trace["cell"][t] = h, c
        shown[t] = last
    return trace, shown


def run_layer(layer, x, mask=None, state=None, activation=np.tanh):
    """Run a Keras LSTM layer's weights over ``x (sample, time, feature)`` with :func:`lstm`."""
    weights = [np.asarray(w, np.float64) for w in layer.get_weights()]
    kernel, recurrent_kernel, bias = weights if len(weights) == 3 else (*weights, 0.0)
    zeros = np.zeros((len(x), layer.units))
    hs, cs = (zeros, zeros) if state is None else state
    mask = np.ones(x.shape[:2], bool) if mask is None else mask
    runs = [
        lstm(
            *(np.asarray(x[n], np.float64), kernel, recurrent_kernel, bias, hs[n], cs[n], mask[n]),
            backwards=layer.go_backwards,
            activation=activation,
        )
        for n in range(len(x))
    ]
    trace = {name: np.stack([run[0][name] for run in runs]) for name in runs[0][0]}
    return trace, np.stack([run[1] for run in runs])
